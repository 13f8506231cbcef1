import json

import anndata as ad
import h5py
import numpy as np
import pytest

from stimpute import StImputeModel, pl

PLAIN_FILE = b"an older result"


def test_json_files_and_plots(run, data, fast, tmp_path):
    genes = tmp_path / "genes.txt"
    reference = ad.read_h5ad(data[3])
    genes.write_text("\n".join(reference.var_names[:2]))
    options = ("--genes", genes, "--interval", 0.9, "--save-model", "model", "--plots", "plots")
    result = run("impute", *data, *fast, *options, "-o", "imputed.h5ad", "--json")
    assert (result.status, result.err) == (0, "")
    told = json.loads(result.out)
    assert (told["cells"], told["genes"]) == (120, 2)
    assert told["files"][:2] == ["model", "imputed.h5ad"]
    imputed = ad.read_h5ad(tmp_path / "imputed.h5ad")
    assert list(imputed.var_names) == list(reference.var_names[:2])
    assert {"lower", "upper"} <= set(imputed.layers)
    assert (tmp_path / "model" / "model.pt").exists()
    assert len(list((tmp_path / "plots").glob("*.png"))) == 2


@pytest.mark.parametrize(("options", "n_maps"), [((), 1), (("--interval", 0.9), 2)])
def test_plots_have_the_width_of_intervals_that_were_asked_for(run, data, fast, monkeypatch, options, n_maps):
    drawn = []
    draw = pl.imputed
    monkeypatch.setattr(pl, "imputed", lambda *args, **given: drawn.append(draw(*args, return_ax=True, **given)))
    unmeasured = ad.read_h5ad(data[3]).var_names.difference(ad.read_h5ad(data[1]).var_names)[0]
    result = run("impute", *data, *fast, *options, "--genes", unmeasured, "-o", "imputed.h5ad", "--plots", "plots")
    assert result.status == 0
    assert [len(axes) for axes in drawn] == [n_maps]


def test_streaming_to_a_store(run, data, fast, tmp_path):
    result = run("impute", *data, *fast, "-o", "imputed.zarr", "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert ad.read_zarr(tmp_path / "imputed.zarr").shape == (120, 5)


@pytest.mark.slow
def test_streaming_and_a_report(run, data, fast, folder, read_page, tmp_path):
    proteins = ("--proteins", folder / "proteins.npz")
    result = run("impute", *data, *fast, *proteins, "-o", "imputed.h5ad", "--report", "page.html", "--quiet")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert ad.read_h5ad(tmp_path / "imputed.h5ad").shape == (120, 5)
    page = read_page(tmp_path / "page.html")
    cells = "Cells that the reference explains"
    rest = ["All genes", "Maps", "Genes and cells", "What made this page"]
    assert page.headings == ["Reliability of genes", cells, *rest]
    assert "has protein" in page.text


def test_hyperparameters_variance_and_relations_reach_the_model(run, data, fast, folder, tmp_path):
    options = ("--set", "n_steps=11", "--variance", "matched", "--relations", "coexpression")
    proteins = ("--proteins", folder / "proteins.npz")
    result = run("impute", *data, *fast, *proteins, *options, "-o", "imputed.h5ad", "--save-model", "model", "-q")
    assert result.status == 0
    about = ad.read_h5ad(tmp_path / "imputed.h5ad").uns["stimpute"]
    assert about["variance"] == "matched"
    assert list(about["relations"]) == ["coexpression"]
    model = StImputeModel.load(tmp_path / "model", adata=False, reference=ad.read_h5ad(data[3]))
    hyperparameters = model.recipe.hyperparameters()
    assert (hyperparameters["n_steps"], hyperparameters["n_metacells"]) == (11, 30)


# ------------------------------------------------------------ how the data are read


@pytest.fixture
def rearranged(folder, tmp_path):
    """The same data with counts in layers, symbols in columns, and positions under another key."""
    paths = {}
    for name in ("spatial", "reference"):
        adata = ad.read_h5ad(folder / f"{name}.h5ad")
        adata.layers["raw"] = adata.X.copy()
        adata.X = adata.X / 2
        adata.var["symbol"] = adata.var_names.astype(str)
        adata.var_names = [f"ENS{i}" for i in range(adata.n_vars)]
        if name == "spatial":
            adata.obsm["xy"] = adata.obsm.pop("spatial")
        paths[name] = tmp_path / f"other_{name}.h5ad"
        adata.write_h5ad(paths[name])
    return ("--spatial", paths["spatial"], "--reference", paths["reference"])


@pytest.mark.slow
def test_layers_symbols_and_positions_of_both_datasets(run, data, rearranged, fast, tmp_path):
    assert run("impute", *data, *fast, "-o", "plain.h5ad", "-q").status == 0
    options = ("--layer", "raw", "--reference-layer", "raw", "--gene-symbols", "symbol", "--spatial-key", "xy")
    options += ("--reference-gene-symbols", "symbol", "--plots", "plots")
    result = run("impute", *rearranged, *options, *fast, "-o", "other.h5ad", "-q")
    assert (result.status, result.err) == (0, "")
    plain = ad.read_h5ad(tmp_path / "plain.h5ad")
    other = ad.read_h5ad(tmp_path / "other.h5ad")
    assert list(other.var_names) == list(plain.var_names)
    np.testing.assert_allclose(other.X, plain.X, rtol=1e-4, atol=1e-4)
    assert len(list((tmp_path / "plots").glob("*.png"))) == 5


def test_positions_can_be_ignored(run, data, fast, folder, tmp_path):
    adata = ad.read_h5ad(folder / "spatial.h5ad")
    adata.obsm["spatial"][0] = np.nan
    adata.write_h5ad(tmp_path / "nan.h5ad")
    options = ("--spatial-key", "none", "-o", "imputed.h5ad", "-q")
    assert run("impute", "--spatial", tmp_path / "nan.h5ad", *data[2:], *fast, *options).status == 0


# ------------------------------------------------------------ saved models


@pytest.fixture
def saved(run, data, fast, tmp_path):
    """A folder with a trained model, and what it imputed."""
    assert run("impute", *data, *fast, "-o", "first.h5ad", "--save-model", "model", "-q").status == 0
    return tmp_path / "model"


def test_a_saved_model_imputes_the_same_without_training(run, data, saved, tmp_path, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", None)
    result = run("impute", *data, "--model", saved, "-o", "second.h5ad", "-q")
    assert (result.status, result.err) == (0, "")
    first = ad.read_h5ad(tmp_path / "first.h5ad")
    second = ad.read_h5ad(tmp_path / "second.h5ad")
    np.testing.assert_allclose(second.X, first.X, rtol=1e-5, atol=1e-5)


def test_the_reference_beside_a_saved_model_is_used(run, data, saved, tmp_path):
    reference = ad.read_h5ad(data[3])
    StImputeModel.load(saved, adata=False, reference=reference).save(tmp_path / "whole", save_reference=True)
    assert run("impute", *data[:2], "--model", "whole", "-o", "second.h5ad", "-q").status == 0
    result = run("impute", *data[:2], "--model", saved, "-o", "third.h5ad")
    assert result.status == 2
    assert "--reference FILE" in result.err


def test_the_reference_can_be_saved_beside_the_model(run, data, fast):
    options = ("--save-model", "whole", "--save-reference", "-o", "first.h5ad", "-q")
    assert run("impute", *data, *fast, *options).status == 0
    assert run("impute", *data[:2], "--model", "whole", "-o", "second.h5ad", "-q").status == 0
    result = run("impute", *data, "--save-reference", "-o", "third.h5ad")
    assert (result.status, "--save-model FOLDER" in result.err) == (2, True)


def test_a_saved_model_settles_other_options(run, data, saved):
    result = run("impute", *data, "--model", saved, "--set", "n_steps=5", "--layer", "raw", "-o", "second.h5ad")
    assert result.status == 2
    assert "settles --layer, --set" in result.err
    result = run("impute", *data, "--model", saved, "--save-model", "again", "-o", "second.h5ad")
    assert (result.status, "saved already" in result.err) == (2, True)


# ------------------------------------------------------------ names of genes


def rename(folder, path, names):
    reference = ad.read_h5ad(folder / "reference.h5ad")
    spatial = ad.read_h5ad(folder / "spatial.h5ad")
    unmeasured = [name for name in reference.var_names if name not in spatial.var_names]
    reference.var_names = [dict(zip(unmeasured, names, strict=False)).get(name, name) for name in reference.var_names]
    reference.write_h5ad(path)
    return path


def test_plots_of_genes_whose_names_are_paths_stay_in_the_folder(run, data, fast, folder, tmp_path):
    path = rename(folder, tmp_path / "odd.h5ad", ["HLA-A/B", "../X", "HLA-A_B"])
    inside = tmp_path / "inside"
    inside.mkdir()
    options = ("--genes", "HLA-A/B,../X,HLA-A_B", "--plots", inside / "plots", "-o", "imputed.h5ad", "-q")
    assert run("impute", *data[:2], "--reference", path, *fast, *options).status == 0
    drawn = sorted(file.name for file in (inside / "plots").iterdir())
    assert drawn == ["HLA-A_B.png", "HLA-A_B_2.png", "_X.png"]
    assert [file.name for file in inside.iterdir()] == ["plots"]


def test_a_long_list_of_genes_is_not_taken_for_a_file(run, data, fast, tmp_path):
    reference = ad.read_h5ad(data[3])
    genes = ",".join(reference.var_names)
    genes += "," + " ," * 300
    assert run("impute", *data, *fast, "--genes", genes, "-o", "imputed.h5ad", "-q").status == 0
    assert ad.read_h5ad(tmp_path / "imputed.h5ad").n_vars == reference.n_vars


# ------------------------------------------------------------ nothing is half written


def test_a_failed_write_leaves_no_file(run, data, fast, tmp_path, monkeypatch):
    def fail(self, *args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", fail)
    result = run("impute", *data, *fast, "-o", "imputed.h5ad", "--save-model", "model")
    assert result.status == 2
    assert "No space left" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["model"]  # what took the most time is there


def test_results_are_not_overwritten(run, data, tmp_path):
    for name in ("out.h5ad", "model"):
        (tmp_path / name).mkdir()
        result = run("impute", *data, "-o", "out.h5ad", "--save-model", "model")
        assert result.status == 2
        assert "exists" in result.err
        (tmp_path / name).rmdir()
