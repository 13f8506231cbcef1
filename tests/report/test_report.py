import base64
import builtins
import dataclasses
import hashlib
import html
import json
import os
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from chromium import launch, needs_chromium

from stimpute import StImputeModel, pp, report, tl
from stimpute.datasets import synthetic_tissue
from stimpute.report import _maps, _page
from stimpute.report._genes import make_gene_table
from stimpute.report._page import format_value

pytest.importorskip("jinja2")
RECIPES = {"crossfit": {"n_steps": 10, "n_metacells": 30}, "paper": {"n_neighbors": 10, "n_rounds": 1}}
TRAIN = {"max_epochs": 1, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    """Draw few points."""
    monkeypatch.setattr(_page, "DPI", 30)


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    tissue.reference.var_names = [name if i else "<Ab|c>" for i, name in enumerate(tissue.reference.var_names)]
    tissue.spatial.obs["section"] = np.where(np.arange(120) < 90, "a", "b")
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    return tissue


def trained(tissue, recipe="crossfit", **setup):
    spatial = tissue.spatial.copy()
    reference = tissue.reference.copy()
    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, recipe=recipe, **RECIPES[recipe])
    model.train(enable_progress_bar=False, seed=0, **TRAIN)
    return model


@pytest.fixture(scope="module")
def model(tissue):
    return trained(tissue, batch_key="section")


def validate(tissue, interval=0.9, recipe="crossfit"):
    options = {"n_folds": 2, "progress": False, "train_kwargs": TRAIN, "interval": interval, "recipe": recipe}
    return tl.cross_validate(tissue.spatial, tissue.reference, **options, **RECIPES[recipe])


@pytest.fixture(scope="module")
def validation(tissue):
    return validate(tissue)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "page.html"


def headings(path):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", path.read_text())


def rows(path):
    """Rows of all tables of a page, by their first cell."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', path.read_text())
    return {name: re.findall(r"<td>(.*?)</td>", cells) for name, cells in found}


# ------------------------------------------------------------ sections


@pytest.mark.slow
def test_each_result_adds_its_sections(model, validation, path):
    report.write(path, model=model, n_maps=1)
    cells = "Cells that the reference explains"
    rest = ["All genes", "Maps", "Genes and cells", "What made this page"]
    assert headings(path) == ["Reliability of genes", cells, *rest]
    report.write(path, validation=validation, n_maps=1)
    assert headings(path)[:2] == ["Accuracy on held-out genes", "Reliability of genes"]
    assert headings(path)[2:5] == ["All genes", "Maps", "Intervals"]
    assert report.write(str(path), imputed=model.impute(progress=False), title="Mine", n_maps=1) == path
    assert headings(path) == ["Reliability of genes", "All genes", "Maps", "What made this page"]
    assert "<h1>Mine</h1>" in path.read_text()
    assert not re.search(r"https?://", path.read_text())


def test_a_result_alone_knows_its_sections(model, path):
    report.write(path, imputed=model.impute(progress=False), n_maps=1)
    assert "the largest of 2" in path.read_text()


def test_numbers_are_those_of_the_results(model, validation, path):
    report.write(path, model=model, validation=validation, n_maps=0)
    page = path.read_text()
    for method in ("kNN", "stimpute"):
        assert f'<th scope="row">{method}</th><td>{format_value(validation.summary.loc[method, "pcc"])}</td>' in page
    predicted = validation.predicted
    inside = (predicted.layers["lower"] <= predicted.X) & (predicted.layers["upper"] >= predicted.X)
    assert f"{inside.mean():.1%} of the held-out values lie inside their interval; 90% were asked for." in page
    assert f"The model uses {len(model.shared_genes)} genes" in page


def test_the_null_row_is_no_method_to_compare_with(validation, path):
    own = validation.genes[validation.genes["method"] == "stimpute"]
    null = own.assign(method="stimpute, reference permuted", value=own["value"] + 1)
    with_null = dataclasses.replace(validation, genes=pd.concat([validation.genes, null]))
    report.write(path, validation=with_null, n_maps=0)
    assert f"The best other method, {validation.best_other}, has a mean PCC" in path.read_text()
    assert f"best other method, {validation.best_other}<" in path.read_text()


def test_the_level_of_the_intervals_is_that_of_the_cross_validation(tissue, path):
    report.write(path, validation=validate(tissue, interval=0.5), n_maps=0)
    page = path.read_text()
    assert "50% were asked for" in page
    assert "90%" not in page


def test_a_cross_validation_without_intervals_has_no_such_section(tissue, path):
    report.write(path, validation=validate(tissue, interval=None), n_maps=0)
    assert "Intervals" not in headings(path)


def test_the_page_says_what_made_it(model, validation, path):
    report.write(path, model=model, validation=validation, n_maps=0)
    found = rows(path)
    assert found["recipe"] == ["crossfit", "crossfit"]
    assert found["n_steps"] == ["10", "10"]
    assert found["relations"] == ["coexpression, protein"] * 2
    assert found["folds"] == ["–", "2"]
    assert found["seed"] == ["0", "0"]
    assert found["interval"] == ["–", "0.9"]
    assert found["batch_key"] == ["section", "–"]
    assert found["stimpute"][0] == validation.settings.versions["stimpute"]
    assert "torch" in found
    assert "Python" in found


@pytest.mark.slow
def test_the_page_names_command_and_files(model, path, tmp_path, monkeypatch):
    file = tmp_path / "cortex & co.h5ad"
    file.write_bytes(b"12345")
    monkeypatch.setattr("sys.argv", ["/usr/bin/stimpute", "report", "--spatial", "a b.h5ad"])
    report.write(path, model=model, n_maps=0, inputs={"spatial": file, "reference": "gone.h5ad"})
    found = rows(path)
    assert found["command"] == ["stimpute report --spatial &#39;a b.h5ad&#39;"]
    assert re.fullmatch(r".*cortex &amp; co.h5ad \(5 bytes, changed 20..-..-..\)", found["spatial"][0])
    assert found["reference"] == ["gone.h5ad"]
    report.write(path, model=model, n_maps=0, command="make figures")
    assert rows(path)["command"] == ["make figures"]
    monkeypatch.setattr("sys.argv", ["/venv/stimpute/cli/__main__.py", "report"])
    report.write(path, model=model, n_maps=0)
    assert rows(path)["command"] == ["stimpute report"]
    monkeypatch.setattr("sys.argv", ["/venv/ipykernel_launcher.py", "-f", "kernel.json"])
    report.write(path, model=model, n_maps=0)
    assert "command" not in rows(path)


def test_an_imputed_result_names_its_method(model, path):
    report.write(path, imputed=model.impute(interval=0.8, progress=False), n_maps=0)
    found = rows(path)
    assert found["recipe"] == ["crossfit"]
    assert found["interval"] == ["0.8"]


def test_names_are_escaped(model, path):
    report.write(path, model=model, title="<script>alert(1)</script>", n_maps=0)
    page = path.read_text()
    assert "<Ab|c>" not in page
    assert "&lt;Ab|c&gt;" in page
    assert "<script>alert(1)" not in page
    assert page.count("<script") == 2  # the data of the table of genes, and what sorts it
    assert page.count("</script") == 2


# ------------------------------------------------------------ groups and the table of all genes


def gene_table(path):
    return json.loads(re.search(r'id="gene-data">(.*?)</script>', path.read_text()).group(1))


def values_of(table, column):
    values = table["columns"][column]["values"]
    return values if isinstance(values, list) else [values.get(str(i)) for i in range(len(table["names"]))]


def test_accuracy_within_groups_is_a_section(validation, path):
    report.write(path, validation=validation.with_groups("cell_type"), n_maps=0)
    assert headings(path)[1] == "Accuracy within groups"
    expected = validation.with_groups("cell_type").by_group()
    found = rows(path)
    for group in expected.index:
        row = expected.loc[group]
        numbers = [format_value(row[name]) for name in ("kNN", "stimpute", "coverage")]
        assert found[group] == [f"{row['n_cells']:,.0f}", *numbers]
    overall, within = expected["stimpute"][:2]
    assert f"The mean PCC is {overall:.3f} over all cells, and {within:.3f} within the groups" in path.read_text()
    assert found["groups"] == ["cell_type"]


def test_all_genes_are_listed_by_reliability(model, validation, path):
    report.write(path, model=model, validation=validation.with_groups("cell_type"), n_maps=0)
    table = gene_table(path)
    assert set(table["names"]) == set(model.reference_genes)
    reliability = values_of(table, 0)
    assert reliability == sorted(reliability, reverse=True)
    own = model.gene_reliability(list(model.reference_genes))["reliability"]
    np.testing.assert_allclose(np.array(reliability) / 1000, own[table["names"]], atol=6e-4)
    pcc = validation.genes.query("method == 'stimpute' and metric == 'pcc'").set_index("gene")["value"]
    for name, value in zip(table["names"], values_of(table, 1), strict=True):
        assert value == (round(1000 * pcc[name]) if name in pcc else None)
    is_measured = dict(zip(table["names"], values_of(table, -2), strict=True))
    assert {name for name, flag in is_measured.items() if flag} == set(model.shared_genes)
    assert f"21 genes, of which {len(model.shared_genes)} were measured" in path.read_text()
    labels = re.search(r'id="gene-table".*?</thead>', path.read_text(), re.DOTALL).group()
    assert re.findall('col">(.*?)<', labels)[:4] == ["gene", "reliability", "observed PCC", "PCC within groups"]


def test_the_page_counts_neighbor_genes_without_its_script_too(model, validation, path):
    report.write(path, model=model, validation=validation, n_maps=0)
    table = gene_table(path)
    labels = re.search(r'id="gene-table".*?</thead>', path.read_text(), re.DOTALL).group()
    position = re.findall('col">(.*?)<', labels).index("neighbor genes") - 1
    found = rows(path)
    for gene, number in zip(table["names"], values_of(table, position), strict=True):
        assert found[html.escape(gene)][position] == ("–" if number is None else str(number))


def test_held_out_genes_alone_are_listed_too(validation, path):
    report.write(path, validation=validation, n_maps=0)
    assert set(gene_table(path)["names"]) == set(validation.predicted.var_names)


def test_the_page_allows_its_own_script_only(model, path):
    report.write(path, model=model, n_maps=0)
    page = path.read_text()
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in page
    assert "http" not in script


def test_the_table_of_many_genes_is_small():
    rng = np.random.default_rng(0)
    n = 33_000
    columns = {"reliability": rng.random(n), "measured": rng.random(n) < 0.5}
    genes = pd.DataFrame(columns, index=[f"Gene{i}" for i in range(n)])
    genes["observed"] = np.where(np.arange(n) < 300, 0.5, np.nan)
    table = make_gene_table(genes)
    assert len(table.first.rows) == 25
    assert len(table.data) < 1_000_000
    assert len(json.loads(table.data)["columns"][2]["values"]) == 300


@pytest.fixture(scope="module")
def browser():
    with launch() as chromium:
        yield chromium


@needs_chromium
@pytest.mark.timeout(300)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.slow
def test_genes_are_searched_and_sorted_in_the_page(model, validation, path, browser, width):
    report.write(path, model=model, validation=validation, n_maps=0)
    table = gene_table(path)
    page = browser.new_page(viewport={"width": width, "height": 800})
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    names = lambda: page.locator("#gene-table tbody th").all_inner_texts()
    assert names() == table["names"]
    page.fill("#gene-search", "AB|C, gene01")
    expected = [name for name in table["names"] if "Ab|c" in name or "Gene01" in name]
    assert names() == expected
    assert page.inner_text("#gene-count") == f"1 to {len(expected)} of {len(expected)} genes"
    page.fill("#gene-search", "nothing")
    assert names() == []
    page.fill("#gene-search", "")
    page.click("#gene-table th >> text=observed PCC")
    observed = dict(zip(table["names"], values_of(table, 1), strict=True))
    found = [observed[name] for name in names()]
    present = sorted((value for value in observed.values() if value is not None), reverse=True)
    assert found == present + [None] * (len(observed) - len(present))
    page.click("#gene-table th button >> nth=0")
    assert names() == sorted(table["names"], key=str.lower)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = page.evaluate("(box => [box.left, box.right])(document.body.getBoundingClientRect())")
    assert right - left >= 0.75 * width  # no empty part at the right
    assert abs(left - (width - right)) < 20
    assert problems == []


@pytest.fixture(scope="module")
def make_ablation(validation):
    """Make an ablation with a given difference in PCC of the relation, and of the permuted one."""

    def make(of_relation, of_permuted):
        rng = np.random.default_rng(0)
        values = {"without protein": 0.0, "protein": of_relation, "protein, permuted 1": of_permuted}
        genes = [f"g{i}" for i in range(9)]
        tables = []
        for name, value in values.items():
            tables.append(pd.DataFrame({"method": name, "gene": genes, "metric": "pcc", "value": value}))
        scores = pd.concat(tables, ignore_index=True)
        scores["value"] += 0.01 * rng.random(len(scores))
        return tl.RelationAblation("protein", scores, validation.settings)

    return make


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.1, 0.0), "improves the prediction on these data, and more than a permuted one"),
        ((0.1, 0.1), "not clearly more than the same relation with its genes permuted"),
        ((0.0, 0.0), "does not clearly improve the prediction"),
    ],
)
def test_the_ablation_has_a_verdict(make_ablation, gain, verdict, path):
    report.write(path, ablation=make_ablation(*gain))
    assert verdict in path.read_text()
    assert headings(path) == ["Effect of the gene relation", "What made this page"]
    assert rows(path)["folds"] == ["2"]


# ------------------------------------------------------------ maps


def test_a_result_of_measured_genes_has_maps(model, path):
    report.write(path, imputed=model.impute(genes=list(model.shared_genes[:3]), progress=False), n_maps=1)
    assert headings(path) == ["All genes", "Maps", "What made this page"]


@pytest.mark.slow
def test_the_section_that_is_drawn_is_named(model, validation, path):
    report.write(path, model=model, n_maps=1)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", path.read_text())
    assert sum("Section &#39;a&#39;, the largest of 2." in caption for caption in captions) == 3
    report.write(path, validation=validation, n_maps=1)
    assert "the largest of" not in path.read_text()


@pytest.mark.filterwarnings("ignore:.*is trained without the positions")
def test_data_without_positions_have_no_maps(path):
    bare = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    del bare.spatial.obsm["spatial"]
    report.write(path, model=trained(bare))
    assert "Maps" not in headings(path)
    assert "has protein" not in path.read_text()


@pytest.mark.slow
def test_positions_may_have_another_key(path):
    moved = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    moved.spatial.obsm["xy"] = moved.spatial.obsm.pop("spatial")
    report.write(path, model=trained(moved, spatial_key="xy"), n_maps=1)
    assert "Maps" in headings(path)


@pytest.fixture
def drawn(monkeypatch):
    """Color limits and titles of all maps, by gene, before the figures are closed."""
    found = {}
    make_figure = _maps.make_figure

    def look(axes, caption):
        for ax in axes:
            gene = ax.get_title().split("\n")[0]
            found.setdefault(gene, []).append((ax.get_title(), ax.collections[0].norm.vmax, ax.collections[0]))
        return make_figure(axes, caption)

    monkeypatch.setattr(_maps, "make_figure", look)
    return found


def test_measured_and_imputed_maps_share_one_scale(validation, drawn, path):
    report.write(path, validation=validation, n_maps=2)
    assert len(drawn) == 4
    for maps in drawn.values():
        assert len(maps) == 2
        assert len({limit for _, limit, _ in maps}) == 1
        assert "reliability" in maps[1][0]


def test_a_gene_that_the_model_cannot_predict_is_not_drawn_brightest(model, drawn, path):
    imputed = model.impute(progress=False)
    worst = imputed.var["reliability"].idxmin()
    values = imputed.X.copy()
    values[:, imputed.var_names.get_loc(worst)] = imputed.var.loc[worst, "expected_mean"]
    imputed.X = values
    report.write(path, imputed=imputed, n_maps=2)
    title, limit, points = drawn[worst][0]
    assert "reliability" in title
    expected = imputed.var.loc[worst, "expected_mean"] + 2 * imputed.var.loc[worst, "expected_std"]
    assert limit >= expected
    assert points.norm(points.get_array()).max() < 0.9


# ------------------------------------------------------------ other recipes and incomplete models


@pytest.mark.slow
def test_the_recipe_of_the_paper(tissue, path):
    report.write(path, model=trained(tissue, "paper"), validation=validate(tissue, None, "paper"), n_maps=1)
    assert headings(path)[1] == "Reliability of genes"
    page = path.read_text()
    assert "is the CSS that the model expects" in page
    assert "with the observed CSS" in page


def test_a_model_without_its_data(model, tmp_path, path):
    model.save(tmp_path / "model")
    bare = StImputeModel.load(tmp_path / "model", adata=False)
    report.write(path, model=bare)
    assert headings(path) == ["What made this page"]


def test_an_imputed_result_without_reliability(path):
    report.write(path, imputed=ad.AnnData(np.ones((4, 2), np.float32)))
    assert headings(path) == ["What made this page"]


def test_the_report_reads_no_private_attribute_of_the_model():
    for source in Path(report.__file__).parent.glob("*.py"):
        assert not re.search(r"model\._|\.state_|panel_", source.read_text()), source.name


# ------------------------------------------------------------ errors


def test_a_result_is_needed(path):
    with pytest.raises(ValueError, match="nothing to report on.*`model=`"):
        report.write(path)


def test_a_file_of_another_kind_is_not_replaced(model, tmp_path):
    (tmp_path / "spatial.h5ad").write_text("data")
    with pytest.raises(ValueError, match="spatial.h5ad; expected the name of a page, such as 'report.html'"):
        report.write(tmp_path / "spatial.h5ad", model=model)
    assert (tmp_path / "spatial.h5ad").read_text() == "data"


@pytest.mark.parametrize("name", ["model", "imputed", "validation", "ablation"])
def test_a_wrong_type_names_the_argument(path, name):
    with pytest.raises(TypeError, match=f"`{name}` is a dict; expected an? "):
        report.write(path, **{name: {}})


def test_errors_name_what_to_do_and_leave_no_page(model, tissue, path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="Make it first"):
        report.write(path.parent / "nowhere" / "page.html", model=model)
    spatial = tissue.spatial.copy()
    reference = tissue.reference.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    with pytest.raises(RuntimeError, match=r"model\.train"):
        report.write(path, model=StImputeModel(spatial, reference))
    true_import = builtins.__import__

    def without_jinja2(name, *rest, **kwargs):
        if name == "jinja2":
            raise ImportError(name)
        return true_import(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_jinja2)
    with pytest.raises(ImportError, match=r"pip install '\.\[report\]'"):
        report.write(path, model=model)
    assert not path.exists()


def test_an_older_page_survives_an_error(model, path, monkeypatch):
    path.write_text("older")

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        report.write(path, model=model, n_maps=0)
    assert path.read_text() == "older"
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


@pytest.mark.slow
def test_figures_are_closed(model, path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    report.write(path, model=model, n_maps=1)
    assert plt.get_fignums() == before


def test_a_report_on_data_that_were_read_lazily(tissue, model, tmp_path):
    model.save(tmp_path / "model")
    tissue.spatial.write_h5ad(tmp_path / "spatial.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "spatial.h5ad")
    loaded = StImputeModel.load(tmp_path / "model", adata=lazy, reference=model.reference)
    result = loaded.impute(progress=False)
    result.write_h5ad(tmp_path / "result.h5ad")
    imputed = ad.experimental.read_lazy(tmp_path / "result.h5ad")
    report.write(tmp_path / "page.html", model=loaded, imputed=imputed)
    assert "the largest of 2" in (tmp_path / "page.html").read_text()
    report.write(tmp_path / "alone.html", imputed=imputed)
    with pytest.raises(ValueError, match="`n_maps` is -1"):
        report.write(tmp_path / "page.html", model=loaded, n_maps=-1)
