"""Save, load, impute."""

import numpy as np
import pytest
import torch
from scipy import sparse
from small import N_REFERENCE, bare, fit, set_up, shuffled_genes, small_pair, values

from stimpute import StImputeModel

GENES = ["Gene40", "Gene07", "Gene03", "Gene30"]


@pytest.fixture(scope="module")
def expected(model):
    """Equal to the last bit means: of the same request."""
    return values(model.impute(genes=GENES, progress=False))


def load(path, *args, **kwargs):
    return StImputeModel.load(path, *args, accelerator="cpu", **kwargs)


def test_load_imputes_to_the_last_bit(model, pair, saved, imputed):
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
    np.testing.assert_array_equal(values(twice.impute(genes=GENES, progress=False)), expected)


def test_hyperparameters_come_back(pair, recipe, tmp_path):
    model = StImputeModel(*pair, recipe=recipe, n_latent=7, n_neighbors=9, relations="coexpression", n_hidden=11)
    model.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    model.save(tmp_path / "model")
    back = load(tmp_path / "model", *pair)
    assert back.relations_ == ["coexpression"]
    assert back.get_latent_representation().shape[1] == 7
    assert back.get_neighbors()[0].shape[1] == 9


def test_the_file_does_not_hold_the_reference(saved, pair):
    reference = pair[1]
    raw = (saved / "model.pt").read_bytes()
    for kind in (np.float32, np.float64):
        for gene in range(reference.n_vars):
            assert reference.X[:, gene].toarray().astype(kind).tobytes() not in raw
        assert reference.X.data.astype(kind).tobytes() not in raw
    attributes = torch.load(saved / "model.pt", weights_only=False)["attr_dict"]
    for name, value in attributes["state_"].items():
        floats = np.issubdtype(value.dtype, np.floating)
        assert not (floats and N_REFERENCE in value.shape), name
    assert not any(type(value).__name__ == "AnnData" for value in attributes.values())


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
    with pytest.raises(ValueError, match="adata="):
        model.impute(genes=GENES, progress=False)
    result = model.impute(bare(pair[0]), genes=GENES, progress=False)
    np.testing.assert_allclose(values(result), expected, atol=1e-6)


def test_load_with_genes_in_another_order(saved, pair, imputed):
    for seed in range(3):
        model = load(saved, shuffled_genes(pair[0], seed), shuffled_genes(pair[1], seed))
        result = model.impute(genes=list(imputed.var_names), progress=False)
        np.testing.assert_allclose(result.X, imputed.X, atol=1e-5)


def test_load_without_the_reference(saved, pair, model):
    alone = load(saved, bare(pair[0]))
    np.testing.assert_array_equal(alone.get_latent_representation(), model.get_latent_representation())
    for call in (alone.impute, alone.get_neighbors, lambda: alone.transfer_labels("cell_type"), alone.train):
        with pytest.raises(RuntimeError, match=r"load\(path, adata=spatial, reference=reference\)"):
            call()


@pytest.mark.parametrize("what", ["cells", "count", "gene", "order of cells"])
def test_another_reference_is_refused(saved, pair, what):
    other = bare(pair[1])
    if what == "cells":
        other = other[:-1].copy()
    elif what == "order of cells":
        other = other[::-1].copy()
    elif what == "gene":
        other.var_names = ["Other" if name == "Gene40" else name for name in other.var_names]
    else:
        counts = other.X.toarray()
        counts[0, 0] += 1
        other.X = sparse.csr_matrix(counts)
    with pytest.raises(ValueError, match="not the reference that the model was trained with"):
        load(saved, pair[0], other)


def test_the_way_of_storing_does_not_matter(saved, pair, expected):
    other = bare(pair[1])
    other.X = other.X.toarray().astype(np.int64)
    result = load(saved, pair[0], other).impute(genes=GENES, progress=False)
    np.testing.assert_allclose(values(result), expected, atol=1e-6)


def test_a_copy_of_the_reference_is_the_reference(saved, pair):
    assert load(saved, pair[0].copy(), pair[1].copy()).impute(genes=GENES, progress=False).n_vars == len(GENES)
    StImputeModel(*pair)  # the originals are still known


def test_other_relations_are_another_reference(saved, pair):
    other = bare(pair[1])
    other.varm["protein"] = other.varm["protein"][::-1].copy()
    with pytest.raises(ValueError, match="relations"):
        load(saved, pair[0], other)


def test_spatial_data_that_lack_genes(saved, pair):
    with pytest.raises(ValueError, match=pair[0].var_names[0]):
        load(saved, bare(pair[0][:, 1:]), pair[1])


def test_save_with_all_data(model, expected, tmp_path):
    model.save(tmp_path / "all", save_anndata=True, save_reference=True)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"model.pt", "adata.h5ad", "reference.h5ad"}
    back = load(tmp_path / "all")
    np.testing.assert_array_equal(values(back.impute(genes=GENES, progress=False)), expected)
    assert load(tmp_path / "all", adata=False, reference=False).adata is None


def test_prefix_and_overwrite(model, expected, tmp_path):
    model.save(tmp_path / "model", prefix="first_", save_anndata=True, save_reference=True)
    with pytest.raises(ValueError, match="already exists"):
        model.save(tmp_path / "model")
    model.save(tmp_path / "model", overwrite=True, prefix="second_")
    assert (tmp_path / "model" / "second_model.pt").exists()
    back = load(tmp_path / "model", prefix="first_")
    np.testing.assert_array_equal(values(back.impute(genes=GENES, progress=False)), expected)
    with pytest.raises(ValueError, match=r"model\.pt|Failed to load"):
        load(tmp_path / "model")


def test_an_untrained_model_can_be_saved(pair, recipe, tmp_path):
    model = StImputeModel(*pair, recipe=recipe)
    assert dict(model._get_user_attributes())["is_trained_"] is False
    model.save(tmp_path / "model")
    back = load(tmp_path / "model", *pair)
    with pytest.raises(RuntimeError, match=r"not trained.*model\.train\(\)"):
        back.impute()
    back.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    assert back.impute(genes=GENES, progress=False).n_vars == len(GENES)


def test_a_loaded_model_can_be_trained_on(saved, pair, expected):
    model = load(saved, *pair)
    model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
    np.testing.assert_array_equal(values(model.impute(genes=GENES, progress=False)), expected)


def test_what_scvi_shows(model, capsys, saved):
    model.view_anndata_setup()
    model.view_setup_method_args()
    StImputeModel.view_setup_args(str(saved))
    assert "StImputeModel.setup_anndata" in capsys.readouterr().out
    assert StImputeModel.load_registry(str(saved))["model_name"] == "StImputeModel"


def test_repr(model, recipe, pair):
    text = repr(model)
    assert recipe in text
    assert "trained" in text
    assert "150 cells" in text
    assert "211 cells" in text
    assert "24 genes shared" in text
    assert "not trained" in repr(StImputeModel(*pair, recipe=recipe))
    assert max(map(len, text.splitlines())) < 400


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_model_is_a_clear_error(model, tmp_path, kept):
    path = tmp_path / "model"
    model.save(path)
    whole = (path / "model.pt").read_bytes()
    (path / "model.pt").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="cannot be read"):
        StImputeModel.load(path, adata=False, reference=False)
