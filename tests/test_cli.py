import json
import subprocess
import sys
from html.parser import HTMLParser

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute import cli
from stimpute.datasets import synthetic_tissue
from stimpute.recipes import CrossfitRecipe
from stimpute.report import _page

pytest_plugins = ["pp.conftest"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Paths of a small spatial dataset, its reference, and protein vectors."""
    folder = tmp_path_factory.mktemp("pair")
    tissue = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    tissue.spatial.write_h5ad(folder / "spatial.h5ad")
    tissue.reference.write_h5ad(folder / "reference.h5ad")
    vectors = {"genes": np.array(tissue.proteins.obs_names, dtype=str), "embedding": tissue.proteins.X}
    np.savez(folder / "proteins.npz", **vectors)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    monkeypatch.setattr(CrossfitRecipe, "__dataclass_fields__", CrossfitRecipe.__dataclass_fields__)
    configure = CrossfitRecipe.configure.__func__
    fast = {"n_steps": 10, "n_metacells": 30}
    monkeypatch.setattr(
        CrossfitRecipe, "configure", classmethod(lambda cls, options: configure(cls, {**options, **fast}))
    )
    monkeypatch.setattr(_page, "DPI", 30)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run a command; its exit status, and what it wrote to either stream."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(stop.value.code or 0), out, err

    return call


@pytest.fixture
def data(pair):
    return ("--spatial", pair / "spatial.h5ad", "--reference", pair / "reference.h5ad")


class Page(HTMLParser):
    """What a page would load, and its headings."""

    def __init__(self, path):
        super().__init__()
        self.sources, self.tags, self.headings, self._in = [], set(), [], ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._in = tag
        self.sources += [
            value for key, value in attrs if key in ("src", "srcset", "data") or (tag, key) == ("link", "href")
        ]

    def handle_data(self, data):
        if self._in == "h2" and data.strip():
            self.headings.append(data.strip())


# ------------------------------------------------------------ each command


def test_impute_json_and_files(run, data, tmp_path):
    out, model = tmp_path / "imputed.h5ad", tmp_path / "model"
    genes = tmp_path / "genes.txt"
    reference = ad.read_h5ad(data[3])
    genes.write_text("\n".join(reference.var_names[:2]))
    status, text, err = run(
        "impute",
        *data,
        "--genes",
        genes,
        "--interval",
        0.9,
        "-o",
        out,
        "--save-model",
        model,
        "--plots",
        "plots",
        "--json",
    )
    assert (status, err) == (0, "")
    result = json.loads(text)
    assert (result["cells"], result["genes"]) == (120, 2)
    imputed = ad.read_h5ad(out)
    assert list(imputed.var_names) == list(reference.var_names[:2])
    assert {"lower", "upper"} <= set(imputed.layers)
    assert (model / "model.pt").exists()
    assert len(list((tmp_path / "plots").glob("*.png"))) == 2


def test_impute_streams_and_reports(run, data, pair, tmp_path):
    status, out, err = run(
        "impute", *data, "--proteins", pair / "proteins.npz", "-o", "imputed.zarr", "--report", "page.html", "--quiet"
    )
    assert (status, out, err) == (0, "", "")
    assert ad.read_zarr(tmp_path / "imputed.zarr").shape == (120, 5)
    page = Page(tmp_path / "page.html")
    assert page.headings == ["Which genes to trust", "Maps", "Genes and cells", "How it was made"]
    assert "has protein" in page.text


def test_validate(run, data, tmp_path):
    status, out, err = run("validate", *data, "--folds", 2, "-o", "accuracy.csv", "--report", "page.html", "--json")
    assert (status, err) == (0, "")
    assert set(json.loads(out)["summary"]) == {"constant", "reference mean, calibrated", "kNN", "stimpute"}
    table = pd.read_csv(tmp_path / "accuracy.csv")
    assert set(table) == {"method", "gene", "metric", "value"}
    page = Page(tmp_path / "page.html")
    assert page.headings[0] == "Accuracy on hidden genes"
    assert "Intervals" in page.headings


def test_report_is_one_page_without_scripts_or_requests(run, data, pair, tmp_path):
    status, _, _ = run(
        *("report", *data, "--proteins", pair / "proteins.npz", "--control", "protein", "--folds", 2),
        *("--title", "A <b>tissue</b> & more", "-o", "page.html"),
    )
    assert status == 0
    page = Page(tmp_path / "page.html")
    assert page.headings == [
        "Accuracy on hidden genes",
        "Which genes to trust",
        "Maps",
        "Intervals",
        "Is the gene graph worth it?",
        "Genes and cells",
        "How it was made",
    ]
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources)
    assert not page.tags & {"script", "iframe", "object", "embed", "b"}
    assert "A &lt;b&gt;tissue&lt;/b&gt; &amp; more" in page.text
    assert "http" not in page.text.replace('http-equiv="', "")


def test_demo(run, data, tmp_path):
    status, out, _ = run("demo", *data, "--out", tmp_path / "demo", "--json")
    assert status == 0
    result = json.loads(out)
    assert "stimpute" in result["summary"]
    assert all((tmp_path / "demo" / name).exists() for name in ("imputed.h5ad", "accuracy.png", "history.png"))


def test_embed_proteins_of_a_file(run, tiny_esm2, tmp_path):
    fasta = tmp_path / "proteins.fasta"
    fasta.write_text(">sp|P1|A_MOUSE A GN=Actb\nMKVLAAGT\n>sp|P2|B_MOUSE B GN=Gapdh\nMTTRRSLA\n")
    status, out, err = run("embed", fasta, "--model", tiny_esm2, "-o", "vectors.npz", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"genes": 2, "dimensions": 32, "file": "vectors.npz"}
    status, out, err = run("embed", fasta, "--model", tiny_esm2, "-o", "vectors.h5ad", "--quiet")
    assert (status, out, err) == (0, "", "")


def test_tables_are_for_people(run, data):
    status, out, err = run("validate", *data, "--folds", 2)
    assert status == 0
    assert "Mean over genes" in out
    assert "kNN" in out


@pytest.mark.parametrize("command", ["demo", "impute", "validate", "report", "embed"])
def test_help_shows_an_example_and_the_exit_status(run, command):
    status, out, _ = run(command, "--help")
    assert status == 0
    assert f"Example: stimpute {command}" in " ".join(out.split())
    assert "2 wrong input" in out


def test_version(run):
    from importlib.metadata import version

    assert run("--version") == (0, version("stimpute") + "\n", "")


# ------------------------------------------------------------ wrong input


def bad(tmp_path, name, change):
    adata = synthetic_tissue(n_cells=60, n_reference=60, n_measured=16, n_unmeasured=2).spatial
    change(adata)
    adata.write_h5ad(tmp_path / name)
    return tmp_path / name


def halve(adata):
    adata.X = adata.X / 2


def rename(adata):
    adata.var_names = [f"Other{i}" for i in range(adata.n_vars)]


def put_nan(adata):
    adata.obsm["spatial"][0] = np.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [(halve, "normalized"), (rename, "shared"), (put_nan, "position")],
)
@pytest.mark.parametrize("command", [("impute", "-o", "out.h5ad"), ("validate", "--folds", "2"), ("report",)])
def test_data_that_cannot_be_used(run, data, tmp_path, command, change, message):
    status, out, err = run(*command, "--spatial", bad(tmp_path, "bad.h5ad", change), *data[2:])
    assert (status, out) == (2, "")
    assert "Error:" in err
    assert message in err
    assert not (tmp_path / "out.h5ad").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "out.csv"), "ends in .h5ad or .zarr"),
        (("-o", "nowhere/out.h5ad"), "Make the folder first"),
        (("-o", "out.h5ad", "--report", "nowhere/page.html"), "Make the folder first"),
        (("-o", "out.h5ad", "--report", "page.pdf"), "ends in .html"),
        (("-o", "out.h5ad", "--recipe", "magic"), "crossfit"),
        (("-o", "out.h5ad", "--interval", "2"), "between 0 and 1"),
        (("-o", "out.h5ad", "--interval", "0.9", "--recipe", "paper"), "no intervals"),
        (("-o", "out.h5ad", "--genes", "gene00x"), "did you mean"),
        (("-o", "out.h5ad", "--genes", ","), "empty"),
        (("-o", "out.h5ad", "--layer", "raw"), "raw"),
        (("-o", "out.h5ad", "--batch-key", "slice"), "slice"),
        (("-o", "out.h5ad", "--expression", "log"), "log"),
        (("-o", "out.h5ad", "--proteins", "none.npz"), "does not exist"),
    ],
)
def test_arguments_that_cannot_be_used(run, data, arguments, message):
    status, out, err = run("impute", *data, *arguments, "--json")
    assert status == 2
    told = json.loads(out)["error"]
    assert message in told
    assert " ".join(told.split()[:3]) in " ".join(err.split())


def test_results_are_not_overwritten(run, data, tmp_path):
    for name in ("out.h5ad", "model"):
        (tmp_path / name).mkdir()
        status, _, err = run("impute", *data, "-o", "out.h5ad", "--save-model", "model")
        assert status == 2
        assert "exists" in err
        (tmp_path / name).rmdir()


def test_files_that_are_something_else(run, data, tmp_path):
    other = tmp_path / "[/red] notes.h5ad"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"not hdf5")
    status, _, err = run("impute", "--spatial", other, *data[2:], "-o", "out.h5ad")
    assert status == 2
    assert "[/red] notes.h5ad cannot be read" in err.replace("\n", "")
    truncated = tmp_path / "truncated.h5ad"
    truncated.write_bytes(data[1].read_bytes()[:4000])
    assert run("validate", "--spatial", truncated, *data[2:])[0] == 2
    assert run("impute", "--spatial", tmp_path / "none.h5ad", *data[2:], "-o", "out.h5ad")[0] == 2
    assert run("impute", "--spatial", tmp_path, *data[2:], "-o", "out.h5ad")[0] == 2
    assert run("demo", "--spatial", data[1])[0] == 2
    assert run("embed", tmp_path / "none.txt", "-o", "v.npz")[0] == 2
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    status, _, err = run("embed", tmp_path / "binary.txt", "-o", "v.npz")
    assert status == 2
    assert "is not text" in err
    assert run("embed", tmp_path / "binary.txt", "-o", "v.csv")[0] == 2


def test_unknown_options_and_missing_ones(run, data):
    assert run("impute", *data)[0] == 2
    assert run("impute", *data, "-o", "x.h5ad", "--nonsense")[0] == 2
    assert run("validate", *data, "--folds", "1")[0] == 2
    assert run("nonsense")[0] == 2


def test_a_relation_that_is_not_there(run, data):
    status, _, err = run("report", *data, "--control", "protein", "--folds", 2)
    assert status == 2
    assert "protein_graph" in err
    assert "Cross-validating" not in err  # found before time is spent


def test_a_warning_is_one_line_once(run, data, tmp_path):
    def empty(adata):
        adata.X[0] = 0

    path = bad(tmp_path, "empty.h5ad", empty)
    status, _, err = run("validate", "--spatial", path, *data[2:], "--folds", 2, "--json")
    assert status == 0
    assert [line.split(":")[0] for line in err.splitlines()] == ["Warning"]
    assert run("validate", "--spatial", path, *data[2:], "--folds", 2, "--quiet") == (0, "", "")


def test_help_does_not_wait_for_torch():
    script = "import sys, stimpute, stimpute.cli; sys.exit(bool({'torch', 'scvi', 'scanpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
