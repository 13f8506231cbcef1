"""Save, load, impute."""

import copy
import os
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from small import N_REFERENCE, QUIET, bare, can, fit, if_known, set_up, shuffled_genes, small_pair, values

from stimpute import StImputeModel, pp

GENES = ["Gene40", "Gene07", "Gene03", "Gene30"]


@pytest.fixture(scope="module")
def expected(model):
    """Equal to the last bit means: of the same request."""
    return values(model.impute(genes=GENES, progress=False))


def load(path, *args, **kwargs):
    return StImputeModel.load(path, *args, accelerator="cpu", **kwargs)


def files(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_load_imputes_to_the_last_bit(pair, saved, imputed):
    for spatial, reference in (pair, tuple(map(bare, pair))):
        result = load(saved, spatial, reference).impute(genes=list(imputed.var_names), progress=False)
        np.testing.assert_array_equal(result.X, imputed.X)
        assert result.var.equals(imputed.var)


def test_saving_again_loses_nothing(pair, saved, tmp_path, expected, model):
    once = load(saved, *pair)
    once.save(tmp_path / "twice")
    twice = load(tmp_path / "twice", *pair)
    assert twice.init_params_ == once.init_params_ == model.init_params_
    assert repr(twice) == repr(model)
    for name in ("recipe", "relations", "fingerprint", "reference_shape", "spatial_setup", "reference_setup"):
        assert getattr(twice, name) == getattr(model, name), name
    for name in ("shared_genes", "input_genes", "measured_genes", "reference_genes"):
        assert list(getattr(twice, name)) == list(getattr(model, name)), name
    assert twice.history.keys() == model.history.keys()
    for name, table in model.history.items():
        pd.testing.assert_frame_equal(twice.history[name], table)
    np.testing.assert_array_equal(twice.train_indices, model.train_indices)
    np.testing.assert_array_equal(values(twice.impute(genes=GENES, progress=False)), expected)


def test_hyperparameters_come_back(pair, recipe, tmp_path):
    options = if_known(recipe, n_latent=7, n_hidden=11, n_folds=3, penalty=0.5, masked_share=(0.2, 0.3))
    if can(recipe, "relations"):
        options["relations"] = "coexpression"
    model = fit(*pair, recipe, {"max_epochs": 1}, **options)
    model.save(tmp_path / "model")
    back = load(tmp_path / "model", *pair)
    assert back.recipe == model.recipe
    assert {**back.recipe.hyperparameters(), "relations": "coexpression"}.items() >= options.items()
    assert back.relations == model.relations == (["coexpression"] if "relations" in options else [])
    if can(recipe, "latent_space"):
        assert back.get_latent_representation().shape[1] == 7


def test_the_file_does_not_hold_the_reference(saved, pair):
    reference = pair[1]
    raw = (saved / "model.pt").read_bytes()
    for kind in (np.float32, np.float64):
        for gene in range(reference.n_vars):
            assert reference.X[:, gene].toarray().astype(kind).tobytes() not in raw
        assert reference.X.data.astype(kind).tobytes() not in raw
    attributes = torch.load(saved / "model.pt", weights_only=False)["attr_dict"]
    assert attributes["fit_arrays_"]
    for name, value in attributes["fit_arrays_"].items():
        floats = np.issubdtype(value.dtype, np.floating)
        assert not (floats and N_REFERENCE in value.shape), name
    assert not any(type(value).__name__ == "AnnData" for value in attributes.values())


@pytest.mark.slow
def test_the_file_does_not_grow_with_the_reference(recipe, tmp_path):
    sizes = []
    for n in (100, 1500):
        model = fit(*set_up(*small_pair(n_reference=n)), recipe)
        model.save(tmp_path / str(n))
        sizes.append((tmp_path / str(n) / "model.pt").stat().st_size)
    assert sizes[1] - sizes[0] < 1400 * 44 * 4 / 2


def test_load_without_spatial_data(saved, pair, expected):
    model = load(saved, adata=False, reference=bare(pair[1]))
    assert model.adata is None
    assert "not attached" in repr(model)
    for call in (model.impute, model.train):
        with pytest.raises(ValueError, match="without spatial data.*adata="):
            call()
    result = model.impute(bare(pair[0]), genes=GENES, progress=False)
    np.testing.assert_allclose(values(result), expected, atol=1e-6)
    assert list(model.gene_reliability(GENES).index) == GENES


def test_loading_prints_nothing(saved, pair, capfd, caplog):
    with caplog.at_level("INFO"):
        load(saved, bare(pair[0]), bare(pair[1]))
    assert capfd.readouterr() == ("", "")
    assert not caplog.messages


def test_load_with_genes_in_another_order(saved, pair, imputed):
    for seed in range(3):
        model = load(saved, shuffled_genes(pair[0], seed), shuffled_genes(pair[1], seed))
        result = model.impute(genes=list(imputed.var_names), progress=False)
        np.testing.assert_allclose(result.X, imputed.X, atol=1e-5)
        pd.testing.assert_frame_equal(result.var, imputed.var, rtol=1e-3, atol=1e-4)


def test_load_without_the_reference(saved, pair, recipe, model):
    alone = load(saved, bare(pair[0]))
    assert alone.reference is None
    if can(recipe, "latent_space"):
        np.testing.assert_array_equal(alone.get_latent_representation(), model.get_latent_representation())
    need_reference = [
        alone.impute,
        alone.check_request,
        alone.gene_reliability,
        alone.get_neighbors,
        alone.train,
        lambda: alone.transfer_labels("cell_type"),
        lambda: alone.reference_genes,
    ]
    for call in need_reference:
        with pytest.raises(RuntimeError, match=r"load\(path, adata=spatial, reference=reference\)"):
            call()


DIFFERING = {
    "cells": "found 210 cells × .*expected 211 cells × .*What differs: cells or expression",
    "count": "What differs: cells or expression",
    "gene": "What differs: names of genes",
    "order of cells": "What differs: cells or expression",
    "shared gene": "Genes that the model reads are missing: Gene06",
}


@pytest.mark.parametrize("what", DIFFERING)
def test_another_reference_is_refused_and_what_differs_is_named(saved, pair, what):
    other = bare(pair[1])
    if what == "cells":
        other = other[:-1].copy()
    elif what == "order of cells":
        other = other[::-1].copy()
    elif what == "gene":
        other.var_names = ["Other" if name == "Gene40" else name for name in other.var_names]
    elif what == "shared gene":
        other = other[:, other.var_names != "Gene06"].copy()
    else:
        counts = other.X.toarray()
        counts[0, 0] += 1
        other.X = sparse.csr_matrix(counts)
    message = f"not the reference that the model was trained with: .*{DIFFERING[what]}\\. Pass the same"
    with pytest.raises(ValueError, match=message):
        load(saved, pair[0], other)


def test_the_way_of_storing_does_not_matter(saved, pair, expected):
    other = bare(pair[1])
    other.X = other.X.toarray().astype(np.int64)
    result = load(saved, pair[0], other).impute(genes=GENES, progress=False)
    np.testing.assert_allclose(values(result), expected, atol=1e-6)


def test_a_copy_of_the_reference_is_the_reference(saved, pair):
    assert load(saved, pair[0].copy(), pair[1].copy()).impute(genes=GENES, progress=False).n_vars == len(GENES)
    StImputeModel(*pair)  # the originals are still known


def test_other_values_of_a_relation_are_another_reference(saved, pair, model):
    other = bare(pair[1])
    other.varm["protein"] = other.varm["protein"][::-1].copy()
    if "protein" in model.relations:
        with pytest.raises(ValueError, match=r"What differs: gene relations\."):
            load(saved, pair[0], other)
    else:
        load(saved, pair[0], other)


def test_a_relation_that_is_added_later_is_not_used(saved, pair, model, imputed):
    """The model was made with relations="auto", which meant those that were there."""
    other = bare(pair[1])
    genes = list(other.var_names)
    pp.add_gene_network(other, pd.DataFrame({"a": genes[:-1], "b": genes[1:]}), "chain")
    back = load(saved, pair[0], other)
    assert back.relations == model.relations
    result = back.impute(genes=genes, progress=False)
    np.testing.assert_array_equal(result.X, imputed.X)
    assert result.var.equals(imputed.var)


@pytest.mark.parametrize("given", [iter, pd.Index, tuple, np.array])
def test_relations_given_as_another_container_are_stored(given, pair, tmp_path):
    fitted = fit(*set_up(*pair), "crossfit", {"max_epochs": 1}, relations=given(["protein"]))
    fitted.save(tmp_path / "model")
    assert load(tmp_path / "model", *pair).relations == fitted.relations == ["protein"]


def test_spatial_data_that_lack_genes(saved, pair):
    with pytest.raises(ValueError, match=pair[0].var_names[0]):
        load(saved, bare(pair[0][:, 1:]), pair[1])


# ---------------------------------------------------------------- what is written, and when


def test_save_with_all_data(model, expected, tmp_path):
    model.save(tmp_path / "all", save_anndata=True, save_reference=True)
    assert files(tmp_path / "all").keys() == {"model.pt", "adata.h5ad", "reference.h5ad"}
    back = load(tmp_path / "all")
    np.testing.assert_array_equal(values(back.impute(genes=GENES, progress=False)), expected)
    without = load(tmp_path / "all", adata=False, reference=False)
    assert without.adata is None
    assert without.reference is None


def test_options_of_files_are_for_both_data_sets(model, tmp_path):
    model.save(tmp_path / "all", save_anndata=True, save_reference=True, compression="gzip")
    for name in ("adata", "reference"):
        with h5py.File(tmp_path / "all" / f"{name}.h5ad") as file:
            stored = file["X"]["data"] if isinstance(file["X"], h5py.Group) else file["X"]
            assert stored.compression == "gzip"


def test_an_unknown_option_of_save_is_refused(model, tmp_path):
    with pytest.raises(TypeError, match=r"`save` has no argument 'save_refrence'\. Did you mean save_reference"):
        model.save(tmp_path / "model", save_refrence=True)
    with pytest.raises(TypeError, match=r"`save` has no argument 'anndata_write_kwargs'"):
        model.save(tmp_path / "model", save_anndata=True, anndata_write_kwargs={"compression": "gzip"})
    assert not (tmp_path / "model").exists()


def test_prefix_and_overwrite(model, expected, tmp_path):
    model.save(tmp_path / "model", prefix="first_", save_anndata=True, save_reference=True)
    with pytest.raises(ValueError, match="already exists"):
        model.save(tmp_path / "model")
    model.save(tmp_path / "model", overwrite=True, prefix="second_")
    assert files(tmp_path / "model").keys() == {
        "first_model.pt",
        "first_adata.h5ad",
        "first_reference.h5ad",
        "second_model.pt",
    }
    back = load(tmp_path / "model", prefix="first_")
    np.testing.assert_array_equal(values(back.impute(genes=GENES, progress=False)), expected)
    assert load(tmp_path / "model", prefix="second_").adata is None


def test_a_model_that_is_not_there(tmp_path):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "nowhere", tmp_path / "empty"):
        with pytest.raises(FileNotFoundError, match=r"model\.pt does not exist"):
            load(path)


def test_data_of_an_older_model_are_removed(model, tmp_path):
    path = tmp_path / "model"
    model.save(path, save_anndata=True, save_reference=True)
    (path / "notes.txt").write_text("mine")
    model.save(path, overwrite=True)
    assert files(path).keys() == {"model.pt", "notes.txt"}
    model.save(path, overwrite=True, save_reference=True)
    assert files(path).keys() == {"model.pt", "notes.txt", "reference.h5ad"}


def test_a_save_that_fails_leaves_the_old_model(saved, model, pair, recipe, expected, tmp_path, monkeypatch):
    path = tmp_path / "model"
    model.save(path, save_anndata=True, save_reference=True)
    before = files(path)
    other = fit(*pair, recipe, {"seed": 1})

    def fail(value, file, **kwargs):
        with open(file, "wb") as half:
            half.write(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="No space left"):
            other.save(path, overwrite=True)
        with pytest.raises(OSError, match="No space left"):
            other.save(tmp_path / "new")
    assert files(path) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    np.testing.assert_array_equal(values(load(path).impute(genes=GENES, progress=False)), expected)
    other.save(path, overwrite=True)
    changed = values(load(path, *pair).impute(genes=["Gene40", *pair[0].var_names[:5]], progress=False))
    before = values(model.impute(genes=["Gene40", *pair[0].var_names[:5]], progress=False))
    assert not np.array_equal(changed, before)


def test_an_untrained_model_can_be_saved(pair, recipe, tmp_path):
    model = StImputeModel(*pair, recipe=recipe)
    assert not model.is_trained
    model.save(tmp_path / "model")
    back = load(tmp_path / "model", *pair)
    assert not back.is_trained
    with pytest.raises(RuntimeError, match=r"not trained.*model\.train\(\)"):
        back.impute()
    back.train(**QUIET)
    assert back.impute(genes=GENES, progress=False).n_vars == len(GENES)


def test_a_loaded_model_can_be_trained_on(saved, pair, expected):
    model = load(saved, *pair)
    model.train(**QUIET)
    np.testing.assert_array_equal(values(model.impute(genes=GENES, progress=False)), expected)


def test_what_scvi_tools_shows(model, capsys, saved):
    model.view_anndata_setup()
    model.view_setup_method_args()
    StImputeModel.view_setup_args(str(saved))
    assert "StImputeModel.setup_anndata" in capsys.readouterr().out
    assert StImputeModel.load_registry(str(saved))["model_name"] == "StImputeModel"


def test_scvi_tools_shows_the_setup_of_loaded_released_and_copied_models_and_of_references(saved, pair, capsys):
    spatial, reference = (adata.copy() for adata in pair)
    loaded = StImputeModel.load(saved, spatial, reference, accelerator="cpu")
    copied = copy.deepcopy(loaded)
    StImputeModel.release(spatial)
    for shown in (loaded, copied):
        shown.view_anndata_setup()
        assert "Setup via" in capsys.readouterr().out
        assert shown.get_anndata_manager(shown.adata) is shown.adata_manager
        assert shown.get_from_registry(shown.adata, "X").shape == shown.adata.shape
    StImputeModel.setup_anndata(reference)
    StImputeModel(pair[0], reference).view_anndata_setup(reference)
    assert "Setup via" in capsys.readouterr().out
    StImputeModel.release(reference)


def test_repr(model, recipe, pair):
    text = repr(model)
    for part in (f"'{recipe}', trained", "150 cells × 24 genes", "211 cells × 44 genes", "shared     24 genes"):
        assert part in text
    for name in [*model.relations, *model.recipe.hyperparameters()]:
        assert name in text
    assert "not trained" in repr(StImputeModel(*pair, recipe=recipe))
    assert max(map(len, text.splitlines())) < 400


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_model_is_a_clear_error(saved, tmp_path, kept):
    whole = (saved / "model.pt").read_bytes()
    path = tmp_path / "model"
    path.mkdir()
    (path / "model.pt").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="cannot be read"):
        StImputeModel.load(path, adata=False, reference=False)


@pytest.mark.parametrize("part", ["model_state_dict", "attr_dict"])
def test_a_model_file_without_one_of_its_parts_is_a_clear_error(saved, tmp_path, part):
    content = torch.load(saved / "model.pt", weights_only=False)
    del content[part]
    path = tmp_path / "model"
    path.mkdir()
    torch.save(content, path / "model.pt")
    with pytest.raises(ValueError, match="cannot be read"):
        StImputeModel.load(path, adata=False, reference=False)


@pytest.mark.parametrize("argument", ["adata", "reference"])
def test_truncated_data_beside_a_model_are_a_clear_error(model, tmp_path, argument):
    path = tmp_path / "model"
    model.save(path, save_anndata=True, save_reference=True)
    file = path / f"{argument}.h5ad"
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(ValueError, match=rf"{argument}\.h5ad cannot be read.*pass `{argument}=`"):
        StImputeModel.load(path)


def test_data_that_were_changed_are_not_saved_with_the_model(recipe, tmp_path):
    spatial, reference = small_pair()
    set_up(spatial, reference)
    model = fit(spatial, reference, recipe)
    reference.X = reference.X * 2
    with pytest.raises(ValueError, match="not the reference that the model was trained with"):
        model.save(tmp_path / "a", save_reference=True)
    spatial.X = spatial.X * 0.5
    with pytest.raises(ValueError, match="raw counts"):
        model.save(tmp_path / "a", save_anndata=True)
    assert not (tmp_path / "a").exists()
    model.save(tmp_path / "a")


@pytest.mark.skipif(os.name == "nt", reason="there is no limit on the size of files")
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_a_full_disk_is_an_error_of_the_system_and_keeps_the_old_model(model, saved, tmp_path, share):
    """A limit on the size of files has the effect of a full disk."""
    import resource

    folder = shutil.copytree(saved, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    limit = int(share * len(before["model.pt"]))
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, allowed[1]))
    try:
        with pytest.raises(OSError, match=r"disk may be full|File too large"):
            model.save(folder, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_half_a_file_that_pytorch_writes_without_an_error_is_one(model, saved, tmp_path, monkeypatch, share):
    folder = shutil.copytree(saved, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    save = torch.save

    def save_a_part(content, path, **options):
        save(content, path, **options)
        os.truncate(path, int(share * os.path.getsize(path)))

    monkeypatch.setattr(torch, "save", save_a_part)
    with pytest.raises(OSError, match=r"model\.pt cannot be written; the disk may be full"):
        model.save(folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
