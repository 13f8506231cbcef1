import json
import os
import re
import warnings

import anndata as ad
import numpy as np
import pytest

from stimpute.cli import _steps
from stimpute.cli._errors import describe_error, name_file
from stimpute.datasets import synthetic_tissue


def write_changed(path, change):
    adata = synthetic_tissue(n_cells=60, n_reference=60, n_measured=16, n_unmeasured=2).spatial
    change(adata)
    adata.write_h5ad(path)
    return path


def halve(adata):
    adata.X = adata.X / 2


def rename(adata):
    adata.var_names = [f"Other{i}" for i in range(adata.n_vars)]


def put_nan(adata):
    adata.obsm["spatial"][0] = np.nan


# ------------------------------------------------------------ data


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (halve, ["bad.h5ad: ", "--expression normalized", "--layer NAME"]),
        (rename, ["bad.h5ad and ", "shared", "--gene-symbols COLUMN", "--reference-gene-symbols COLUMN"]),
        (put_nan, ["bad.h5ad: ", "position", "--spatial-key none"]),
    ],
)
@pytest.mark.parametrize("command", [("impute", "-o", "out.h5ad"), ("validate", "--folds", "2"), ("report",)])
def test_spatial_data_that_cannot_be_used(run, data, tmp_path, command, change, messages):
    path = write_changed(tmp_path / "bad.h5ad", change)
    result = run(*command, "--spatial", path, *data[2:])
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("Error: ")
    assert len(result.err.splitlines()) == 1
    for message in messages:
        assert message in result.err
    assert [file.name for file in tmp_path.iterdir()] == ["bad.h5ad"]


def test_a_reference_that_cannot_be_used_is_named_with_its_own_options(run, data, tmp_path):
    path = write_changed(tmp_path / "bad.h5ad", halve)
    result = run("validate", *data[:2], "--reference", path)
    assert result.status == 2
    assert "bad.h5ad: " in result.err
    assert "--reference-expression normalized" in result.err
    assert "--expression normalized" not in result.err.replace("--reference-expression", "")


def test_files_that_are_something_else(run, data, tmp_path):
    other = tmp_path / "[/red] notes.h5ad"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"not hdf5")
    result = run("impute", "--spatial", other, *data[2:], "-o", "out.h5ad")
    assert result.status == 2
    assert "[/red] notes.h5ad cannot be read" in result.err
    truncated = tmp_path / "truncated.h5ad"
    truncated.write_bytes(data[1].read_bytes()[:4000])
    assert run("validate", "--spatial", truncated, *data[2:]).status == 2
    assert run("impute", "--spatial", tmp_path / "none.h5ad", *data[2:], "-o", "out.h5ad").status == 2
    assert run("impute", "--spatial", tmp_path, *data[2:], "-o", "out.h5ad").status == 2


def test_spatial_data_without_the_genes_of_a_saved_model_are_named(run, data, fast, tmp_path):
    assert run("impute", *data, *fast, "-o", "out.h5ad", "--save-model", "model", "-q").status == 0
    path = write_changed(tmp_path / "bad.h5ad", rename)
    result = run("impute", "--spatial", path, *data[2:], "--model", "model", "-o", "second.h5ad")
    assert result.status == 2
    assert result.err.startswith(f"Error: {path}: ")


def test_a_model_that_is_none(run, data, tmp_path):
    (tmp_path / "model").mkdir()
    result = run("impute", *data, "--model", "model", "-o", "out.h5ad")
    assert result.status == 2
    assert "model" in result.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_named_pipe_as_the_reference(run, data, tmp_path):
    os.mkfifo(tmp_path / "pipe.h5ad")
    result = run("impute", *data[:2], "--reference", "pipe.h5ad", "-o", "out.h5ad")
    assert result.status == 2
    assert "pipe.h5ad is a named pipe or a device; expected a file or a folder." in result.err


# ------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-o", "out.csv"), "ends in .h5ad or .zarr"),
        (("-o", "nowhere/out.h5ad"), "Make it first"),
        (("-o", "out.h5ad", "--report", "nowhere/page.html"), "Make it first"),
        (("-o", "out.h5ad", "--report", "page.pdf"), "ends in .html"),
        (("-o", "out.h5ad", "--recipe", "magic"), "crossfit"),
        (("-o", "out.h5ad", "--interval", "2"), "between 0 and 1"),
        (("-o", "out.h5ad", "--interval", "0.9", "--recipe", "paper", "--relations", "coexpression"), "no intervals"),
        (("-o", "out.h5ad", "--variance", "wide"), "wide"),
        (("-o", "out.h5ad", "--genes", "gene00x"), "did you mean"),
        (("-o", "out.h5ad", "--genes", ","), "empty"),
        (("-o", "out.h5ad", "--genes", "none.txt"), "does not exist"),
        (("-o", "out.h5ad", "--layer", "raw"), "raw"),
        (("-o", "out.h5ad", "--batch-key", "slice"), "slice"),
        (("-o", "out.h5ad", "--gene-symbols", "name"), "name"),
        (("-o", "out.h5ad", "--expression", "log"), "log"),
        (("-o", "out.h5ad", "--proteins", "none.npz"), "does not exist"),
        (("-o", "out.h5ad", "--relations", "string"), "no relation 'string'"),
        (("-o", "out.h5ad", "--set", "n_steps"), "NAME=VALUE"),
        (("-o", "out.h5ad", "--set", "n_stepps=3"), "no hyperparameter ['n_stepps']"),
        (("-o", "out.h5ad", "--set", "n_steps=0"), "n_steps"),
        (("-o", "out.h5ad", "--plots", "plots", "--spatial-key", "none"), "--plots needs positions"),
        (("-o", "out.h5ad", "--nonsense"), "--nonsense"),
        (("-o", "out.h5ad", "--seed", "-1"), "seed"),
        ((), "--out"),
    ],
)
def test_arguments_that_cannot_be_used(run, data, arguments, message, monkeypatch):
    monkeypatch.setattr("stimpute.StImputeModel.train", None)  # found before time is spent
    result = run("impute", *data, *arguments, "--json")
    assert result.status == 2
    told = json.loads(result.out)["error"]
    assert message in told
    assert result.err == f"Error: {told}\n"


def test_outputs_that_are_in_the_way(run, data, tmp_path):
    (tmp_path / "page.html").mkdir()
    (tmp_path / "plots").write_text("")
    assert "which is a folder" in run("report", *data, "-o", "page.html").err
    assert "which is a file" in run("impute", *data, "-o", "x.h5ad", "--plots", "plots").err


def test_unknown_commands_and_folds(run, data):
    assert run("nonsense").status == 2
    assert run("validate", *data, "--folds", "1").status == 2


# ------------------------------------------------------------ bugs


@pytest.fixture
def buggy(monkeypatch):
    def fail(*args):
        raise AttributeError("nobody expected this")

    monkeypatch.setattr(_steps, "read_pair", fail)


def test_a_bug_is_told_as_one_with_its_traceback(run, data, buggy):
    result = run("validate", *data, "--json")
    assert result.status == 3
    assert "Traceback" in result.err
    assert "This is a bug in stimpute, please report it" in result.err
    assert "AttributeError: nobody expected this" in json.loads(result.out)["error"]


def test_a_type_error_outside_of_the_recipe_is_a_bug(run, data, monkeypatch):
    monkeypatch.setattr(_steps, "read_pair", lambda: None)
    assert run("validate", *data).status == 3


def test_an_interrupt_has_its_own_status(run, data, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_steps, "read_pair", interrupt)
    assert run("validate", *data).status == 130


def test_debug_shows_the_traceback_of_user_errors(run, data):
    arguments = ("impute", *data, "--layer", "raw", "-o", "out.h5ad")
    assert "Traceback" not in run(*arguments).err
    result = run(*arguments, "--debug")
    assert result.status == 2
    assert "Traceback" in result.err
    assert result.err.splitlines()[-1].startswith("Error: ")


# ------------------------------------------------------------ messages


def test_messages_are_one_line():
    assert describe_error(KeyError("first\n  second")) == "first second"
    assert describe_error(MemoryError()) == "MemoryError (no message)"


@pytest.mark.parametrize(
    ("message", "translated"),
    [
        ("Name the layer by `layer=`.", "Name the layer by --layer NAME or --reference-layer NAME."),
        (
            "the kind: `StImputeModel.setup_anndata(adata, gene_symbols=...)`.",
            "the kind: --gene-symbols COLUMN or --reference-gene-symbols COLUMN.",
        ),
        ('say `expression="counts"`', "say --expression counts or --reference-expression counts"),
        ("or pass `spatial_key=None`", "or pass --spatial-key none"),
        ("`interval` is 2", "--interval is 2"),
        ("no intervals (`interval=0.9`)", "no intervals (--interval 0.9)"),
        (
            "no choice (`variance='matched'`). Use `recipe=\"crossfit\"`",
            "no choice (--variance matched). Use --recipe crossfit",
        ),
        ("Name one by `relations=`.", "Name one by --relations NAMES."),
        ("`n_neighbors=20` or less", "--set n_neighbors=20 or less"),
        ("pass `n_folds=` of 2", "pass --folds of 2"),
        ('with `genes=`, or `out="imputed.zarr"`.', "with --genes, or --out imputed.zarr."),
        ("Call `stimpute.pp.add_protein_embeddings(reference, path)` for", "Pass --proteins FILE for"),
        ('example `train(plan_kwargs={"lr": 1e-3})`.', "example --set lr=1e-3."),
        ("on; train a new one with `StImputeModel(adata, reference)`.", "on; leave out --model to train a new one."),
        ("duplicates, or call `adata.var_names_make_unique()`.", "duplicates in the file."),
    ],
)
def test_python_arguments_become_options(message, translated):
    assert describe_error(ValueError(message)) == translated


def test_no_message_of_the_package_about_data_is_left_in_python(run, data, tmp_path):
    def repeat(adata):
        adata.var_names = ["Gene0"] * adata.n_vars

    for change in (halve, rename, put_nan, repeat):
        path = write_changed(tmp_path / "bad.h5ad", change)
        message = run("impute", "--spatial", path, *data[2:], "-o", "out.h5ad").err
        assert not re.search(r"`[^`]*[=(][^`]*`", message), message


def test_a_file_is_named_once(tmp_path):
    path = tmp_path / "x.h5ad"
    with (
        pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: by --reference-layer NAME$"),
        name_file(path, "--reference-"),
    ):
        raise KeyError("by `layer=`")
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))} is odd$"), name_file(path, "--"):
        raise ValueError(f"{path} is odd")
    with pytest.raises(AttributeError), name_file(path, "--"):  # a bug stays one
        raise AttributeError


@pytest.mark.slow
def test_a_warning_is_printed_once_as_one_line(run, data, fast, tmp_path):
    def empty(adata):
        adata.X[0] = 0

    path = write_changed(tmp_path / "empty.h5ad", empty)
    arguments = ("validate", "--spatial", path, *data[2:], *fast, "--folds", 2)
    result = run(*arguments, "--json")
    assert result.status == 0
    assert [line.split(":")[0] for line in result.err.splitlines()] == ["Warning"]
    result = run(*arguments, "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")


def test_warnings_are_as_before_afterwards(run):
    before = list(warnings.filters)
    run("--version")
    assert warnings.filters == before


def test_results_can_be_read_back(run, data, fast, tmp_path):
    assert run("impute", *data, *fast, "-o", "imputed.h5ad").status == 0
    assert ad.read_h5ad(tmp_path / "imputed.h5ad").n_obs == 120
