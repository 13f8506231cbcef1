import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute import StImputeModel, pp
from stimpute.cli._references import name_references, value_for


@pytest.fixture
def pair(folder, tmp_path):
    """Files of two references, of which each lacks some genes, and of the spatial data."""
    reference = ad.read_h5ad(folder / "reference.h5ad")
    spatial = ad.read_h5ad(folder / "spatial.h5ad")
    unmeasured = reference.var_names.difference(spatial.var_names)
    reference[:60, ~reference.var_names.isin(unmeasured[:1])].write_h5ad(tmp_path / "cortex.h5ad")
    glia = reference[60:, ~reference.var_names.isin(unmeasured[1:2])].copy()
    glia.layers["raw"] = glia.X.copy()
    glia.X = glia.X / 2
    glia.write_h5ad(tmp_path / "glia.h5ad")
    return ("--spatial", folder / "spatial.h5ad", "--reference", tmp_path / "cortex.h5ad")


@pytest.fixture
def glia(tmp_path):
    """Options that name a second reference, which has its counts in a layer."""
    return ("--reference", f"glia={tmp_path / 'glia.h5ad'}", "--reference-layer", "glia=raw")


@pytest.fixture
def markers(folder, tmp_path):
    """A table of marker genes with odd names of columns."""
    genes = ad.read_h5ad(folder / "reference.h5ad").var_names
    table = pd.DataFrame({"type": ["A"] * 4 + ["B"] * 4, "symbol": [*genes[:4], *genes[2:6]], "weight": range(1, 9)})
    table.to_csv(tmp_path / "table.csv", index=False)
    return ("--markers", tmp_path / "table.csv", "--marker-columns", "type,symbol,weight")


def test_several_references_give_what_they_give_in_python(run, pair, glia, markers, fast, folder, tmp_path):
    result = run("impute", *pair, *glia, *markers, *fast, "-o", "imputed.h5ad", "--save-model", "model", "-q")
    assert (result.status, result.err) == (0, "")
    imputed = ad.read_h5ad(tmp_path / "imputed.h5ad")
    assert imputed.n_vars == 5  # each gene is in one of the references at least
    spatial = ad.read_h5ad(folder / "spatial.h5ad")
    references = {
        "cortex": ad.read_h5ad(tmp_path / "cortex.h5ad"),
        "glia": ad.read_h5ad(tmp_path / "glia.h5ad"),
        "markers": pp.marker_reference(tmp_path / "table.csv", cell_type="type", gene="symbol", score="weight"),
    }
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(references["cortex"])
    StImputeModel.setup_anndata(references["glia"], layer="raw")
    StImputeModel.setup_anndata(references["markers"], expression="normalized")
    model = StImputeModel(spatial, references, n_steps=10, n_metacells=30)
    model.train(seed=0, enable_progress_bar=False)
    expected = model.impute(progress=False)
    np.testing.assert_allclose(imputed.X, expected.X, rtol=1e-5, atol=1e-5)
    for name in ("in_cortex", "in_glia", "in_markers"):
        assert imputed.var[name].tolist() == expected.var[name].tolist()


@pytest.mark.slow
def test_proteins_are_added_to_every_reference(run, pair, glia, fast, folder, tmp_path):
    options = ("--proteins", folder / "proteins.npz", "--report", "page.html", "-o", "imputed.h5ad", "-q")
    assert run("impute", *pair, *glia, *fast, *options).status == 0
    imputed = ad.read_h5ad(tmp_path / "imputed.h5ad")
    with_protein = np.load(folder / "proteins.npz")["genes"]
    assert imputed.var["has_protein"].tolist() == imputed.var_names.isin(with_protein).tolist()
    page = (tmp_path / "page.html").read_text()
    for text in ("reference cortex", "reference glia", str(tmp_path / "glia.h5ad")):
        assert text in page


@pytest.mark.parametrize("command", [("validate", "--folds", "2"), ("report", "--folds", "2", "--ablation", "protein")])
@pytest.mark.slow
def test_other_commands_take_several_references(run, pair, glia, fast, folder, command):
    proteins = ("--proteins", folder / "proteins.npz")
    result = run(*command, *pair, *glia, *fast, *proteins, "--json")
    assert (result.status, result.err) == (0, "")
    assert "stimpute" in json.loads(result.out)["summary"]


@pytest.mark.slow
def test_the_demo_takes_several_references(run, pair, glia, fast, tmp_path):
    assert run("demo", *pair, *glia, *fast, "--out", "demo", "-q").status == 0
    assert "in_glia" in ad.read_h5ad(tmp_path / "demo" / "imputed.h5ad").var


# ------------------------------------------------------------ saved models


@pytest.fixture
def saved(run, pair, glia, fast, tmp_path):
    """A model of two references, and what it imputed."""
    assert run("impute", *pair, *glia, *fast, "-o", "first.h5ad", "--save-model", "model", "-q").status == 0
    return tmp_path / "model"


@pytest.mark.slow
def test_a_saved_model_takes_its_references_in_any_order(run, pair, saved, tmp_path):
    references = ("--reference", tmp_path / "glia.h5ad", *pair[2:])
    result = run("impute", *pair[:2], *references, "--model", saved, "-o", "second.h5ad", "-q")
    assert (result.status, result.err) == (0, "")
    first = ad.read_h5ad(tmp_path / "first.h5ad")
    np.testing.assert_allclose(ad.read_h5ad(tmp_path / "second.h5ad").X, first.X, rtol=1e-5, atol=1e-5)


def test_a_saved_model_takes_the_joined_reference(run, pair, saved, tmp_path):
    references = {name: ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("cortex", "glia")}
    joined = pp.join_references(references, {"glia": {"layer": "raw"}})
    joined.write_h5ad(tmp_path / "joined.h5ad")
    options = ("--reference", tmp_path / "joined.h5ad", "--model", saved, "-o", "second.h5ad", "-q")
    assert run("impute", *pair[:2], *options).status == 0


def test_references_that_a_saved_model_lacks_are_named(run, pair, saved, folder, tmp_path):
    how = "--reference cortex=FILE --reference glia=FILE"
    options = ("--model", saved, "-o", "second.h5ad")
    assert how in run("impute", *pair[:2], *options).err
    assert how in run("impute", *pair, *options).err
    result = run("impute", *pair, "--reference", f"mop={folder / 'reference.h5ad'}", *options)
    assert "was trained with cortex, glia; found cortex, mop" in result.err
    result = run("impute", *pair, "--reference", f"glia={tmp_path / 'cortex.h5ad'}", *options)
    assert (result.status, "glia.h5ad" in result.err) == (2, False)
    assert str(tmp_path / "cortex.h5ad") in result.err


# ------------------------------------------------------------ wrong options


def test_the_file_that_is_wrong_is_named(run, pair, glia, tmp_path):
    result = run("validate", *pair, *glia[:2])  # without the layer: halves are no counts
    assert result.status == 2
    assert result.err.startswith(f"Error: {tmp_path / 'glia.h5ad'}: ")
    assert "cortex" not in result.err
    result = run("validate", *pair, "--reference", tmp_path / "none.h5ad")
    assert (result.status, "none.h5ad does not exist" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--reference", "=x.h5ad"), "NAME=FILE"),
        (("--reference", "glia="), "NAME=FILE"),
        (("--reference-layer", "glya=raw"), "the references are cortex, glia"),
        (("--reference-expression", "glia=log"), "log"),
        (("--reference-gene-symbols", "glia=name"), "glia.h5ad: "),
    ],
)
def test_options_that_cannot_be_used(run, pair, glia, options, message):
    result = run("validate", *pair, *glia, *options)
    assert result.status == 2
    assert message in result.err


def test_a_table_of_markers_that_cannot_be_used_is_named(run, pair, markers):
    result = run("validate", *pair, *markers[:2])
    assert result.status == 2
    assert "table.csv: " in result.err
    assert "--marker-columns" in result.err
    assert "expected CELL_TYPE,GENE" in run("validate", *pair, *markers[:3], "type").err


def test_names_of_references(tmp_path):
    odd = tmp_path / "a=b.h5ad"
    odd.write_text("")
    assert list(name_references(["x.h5ad"])) == ["reference"]
    assert list(name_references(["mine=x.h5ad"])) == ["mine"]
    assert list(name_references(["mine=x.h5ad", "y.h5ad"])) == ["mine", "y"]
    assert list(name_references([str(odd), "c.h5"])) == ["a=b", "c"]
    assert list(name_references(["x.h5ad"], tmp_path)) == ["x", "markers"]
    with pytest.raises(ValueError, match=r"Two references have the name 'x'.*--reference NAME=b/x\.h5ad"):
        name_references(["a/x.h5ad", "b/x.h5ad"])


def test_the_value_for_one_reference_goes_first():
    assert value_for("a", []) is None
    assert value_for("a", [], "counts") == "counts"
    assert value_for("a", ["raw", "b=x"]) == "raw"
    assert value_for("b", ["b=x", "raw"]) == "x"
