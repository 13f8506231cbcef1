"""What users may rely on, whatever the recipe."""

import subprocess
import sys

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from small import N_CELLS, N_MEASURED, N_UNMEASURED, bare, fit, set_up, small_pair, values

from stimpute import StImputeModel, __version__


def snapshot(adata: AnnData) -> dict:
    """Everything that an AnnData holds, but for what scvi-tools notes."""
    adata = bare(adata)
    arrays = {"X": adata.X, **adata.layers, **adata.obsm, **adata.varm, **adata.varp}
    dense = {key: (value.toarray() if sparse.issparse(value) else np.asarray(value)) for key, value in arrays.items()}
    return {**dense, "obs": adata.obs, "var": adata.var, "uns": sorted(adata.uns)}


def assert_unchanged(before: dict, adata: AnnData):
    after = snapshot(adata)
    assert before.keys() == after.keys()
    for key, value in before.items():
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, after[key])
        else:
            np.testing.assert_array_equal(value, after[key], err_msg=key)


# ---------------------------------------------------------------- the result


def test_every_gene_that_is_not_measured(model, pair, recipe):
    spatial, reference = pair
    result = model.impute(progress=False)
    assert result.shape == (N_CELLS, N_UNMEASURED)
    assert list(result.var_names) == [gene for gene in reference.var_names if gene not in spatial.var_names]
    assert list(result.obs_names) == list(spatial.obs_names)
    assert result.X.dtype == np.float32
    assert np.isfinite(result.X).all()
    assert (result.X >= 0).all()
    assert (np.ptp(result.X, axis=0) > 0).any()


def test_what_is_known_of_each_gene(imputed, pair):
    spatial, reference = pair
    assert {"reliability", "measured", "has_protein", "n_edges"} <= set(imputed.var)
    assert (imputed.var["measured"] == imputed.var_names.isin(spatial.var_names)).all()
    assert (imputed.var["has_protein"] == reference.var["has_protein"]).all()
    assert imputed.var["reliability"].between(-1, 1).all()
    assert pd.api.types.is_integer_dtype(imputed.var["n_edges"])
    assert imputed.var["n_edges"].between(1, N_MEASURED).all()


def test_units_and_origin(imputed, recipe):
    about = imputed.uns["stimpute"]
    assert "log1p" in about["units"]
    assert about["recipe"] == recipe
    assert about["version"] == __version__


def test_cells_are_described_as_before(imputed, pair):
    spatial, _ = pair
    pd.testing.assert_frame_equal(imputed.obs[["cell_type", "domain"]], spatial.obs[["cell_type", "domain"]])
    np.testing.assert_array_equal(imputed.obsm["spatial"], spatial.obsm["spatial"])
    assert not np.shares_memory(imputed.obsm["spatial"], spatial.obsm["spatial"])


def test_the_result_can_be_written_and_read(imputed, tmp_path):
    imputed.write_h5ad(tmp_path / "imputed.h5ad")
    back = anndata.read_h5ad(tmp_path / "imputed.h5ad")
    np.testing.assert_array_equal(back.X, imputed.X)
    assert back.uns["stimpute"]["units"] == imputed.uns["stimpute"]["units"]


def test_one_gene_may_be_a_string(model, imputed, pair):
    gene = imputed.var_names[~imputed.var["measured"]][0]
    assert list(model.impute(genes=gene, progress=False).var_names) == [gene]


# ---------------------------------------------------------------- what a value depends on


def test_not_on_the_other_genes_asked_for(model, imputed):
    for genes in (["Gene40"], ["Gene07", "Gene03", "Gene30"], list(imputed.var_names[::-1])):
        result = model.impute(genes=genes, progress=False)
        assert list(result.var_names) == genes
        np.testing.assert_allclose(values(result), values(imputed, genes), rtol=1e-5, atol=1e-5)
        known = result.var[["reliability", "n_edges"]]
        pd.testing.assert_frame_equal(known, imputed.var.loc[genes, list(known)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, N_CELLS - 1, 10_000])
def test_not_on_the_batch_size(model, imputed, batch_size):
    genes = list(imputed.var_names[::4])
    result = model.impute(genes=genes, batch_size=batch_size, progress=False)
    np.testing.assert_allclose(values(result), values(imputed, genes), rtol=1e-5, atol=1e-5)


def test_a_measured_gene_is_predicted_as_if_hidden(model, imputed, pair, recwarn):
    """Its own counts are nowhere in its prediction, not even in the totals of the cells."""
    for gene in pair[0].var_names[[0, 5, 11, 23]]:
        changed = bare(pair[0])
        counts = changed.X.toarray()
        counts[:, changed.var_names.get_loc(gene)] = np.random.default_rng(0).integers(0, 50, N_CELLS)
        changed.X = sparse.csr_matrix(counts)
        recwarn.clear()
        result = model.impute(changed, genes=[gene], progress=False)
        np.testing.assert_array_equal(values(result), values(model.impute(genes=[gene], progress=False)))
    assert not [str(w.message) for w in recwarn if "hidden" in str(w.message) or "measured" in str(w.message)]


def test_other_measured_genes_do_matter(model, pair):
    changed = bare(pair[0])
    changed.X = sparse.csr_matrix(np.random.default_rng(0).permutation(changed.X.toarray()))
    a, b = (model.impute(data, genes=["Gene40"], progress=False) for data in (None, changed))
    assert not np.allclose(a.X, b.X)


def test_dense_and_sparse_integers_and_floats_are_one(model, imputed, pair):
    for convert in (lambda x: x.toarray(), lambda x: sparse.csc_matrix(x), lambda x: x.astype(np.int64)):
        changed = bare(pair[0])
        changed.X = convert(changed.X)
        result = model.impute(changed, genes=["Gene40", "Gene07"], progress=False)
        np.testing.assert_allclose(values(result), values(imputed, ["Gene40", "Gene07"]), rtol=1e-5, atol=1e-5)


def test_the_same_seed_gives_the_same_model(model, imputed, pair, recipe):
    again = fit(*pair, recipe).impute(genes=list(imputed.var_names), progress=False)
    np.testing.assert_array_equal(again.X, imputed.X)
    other = fit(*pair, recipe, {"seed": 1}).impute(genes=list(imputed.var_names), progress=False)
    assert not np.array_equal(other.X, imputed.X)


# ---------------------------------------------------------------- the inputs


def test_inputs_are_not_changed(fresh, recipe, tmp_path):
    spatial, reference = fresh
    spatial.layers["raw"], reference.layers["raw"] = spatial.X.copy(), reference.X.copy()
    before = snapshot(spatial), snapshot(reference)
    model = fit(*set_up(spatial, reference), recipe)
    model.impute(genes=list(reference.var_names), progress=False)
    model.get_neighbors()
    model.save(tmp_path / "model", save_reference=True, save_anndata=True)
    assert_unchanged(before[0], spatial)
    assert_unchanged(before[1], reference)


def test_changing_the_result_does_not_change_the_inputs(model, pair):
    before = snapshot(pair[0])
    result = model.impute(genes=["Gene40"], progress=False)
    result.obsm["spatial"] += 1
    result.obs["cell_type"] = "other"
    assert_unchanged(before, pair[0])


def test_normalised_values_are_used_as_they_are(recipe):
    spatial, reference = small_pair()
    for adata in (spatial, reference):
        adata.layers["log"] = adata.X.log1p()
        StImputeModel.setup_anndata(adata, layer="log", expression="normalized")
    model = fit(spatial, reference, recipe)
    result = model.impute(genes=list(reference.var_names), progress=False)
    assert np.isfinite(result.X).all()
    assert "normalised" in result.uns["stimpute"]["units"]


def test_genes_may_be_matched_by_a_column(imputed, recipe):
    spatial, reference = small_pair()
    spatial.var["symbol"], spatial.var_names = spatial.var_names.to_numpy(), [f"ENS{i}" for i in range(spatial.n_vars)]
    model = fit(*set_up(spatial, reference, gene_symbols="symbol"), recipe)
    result = model.impute(genes=list(reference.var_names), progress=False)
    np.testing.assert_allclose(result.X, imputed.X, rtol=1e-4, atol=1e-4)
    assert result.var["measured"].sum() == N_MEASURED


def test_without_positions(recipe):
    spatial, reference = small_pair()
    model = fit(*set_up(spatial, reference, spatial_key=None), recipe)
    assert model.impute(progress=False).shape == (N_CELLS, N_UNMEASURED)


def test_without_proteins(fresh, recipe):
    model = fit(*set_up(*fresh), recipe)
    assert not model.impute(progress=False).var["has_protein"].any()


# ---------------------------------------------------------------- MuData


def test_mudata(pair, imputed, recipe):
    mdata = MuData({"spatial": bare(pair[0]), "rna": bare(pair[1])})
    StImputeModel.setup_mudata(mdata, spatial_kwargs={"spatial_key": "spatial"})
    model = StImputeModel.from_mudata(mdata, recipe=recipe)
    model.train(max_epochs=2, accelerator="cpu", enable_progress_bar=False)
    np.testing.assert_allclose(model.impute(genes=["Gene40"], progress=False).X, values(imputed, ["Gene40"]), atol=1e-4)


def test_mudata_with_other_names(pair):
    mdata = MuData({"merfish": bare(pair[0]), "sc": bare(pair[1])})
    StImputeModel.setup_mudata(mdata, spatial="merfish", reference="sc")
    assert StImputeModel.from_mudata(mdata, spatial="merfish", reference="sc").panel_.size == N_MEASURED


def test_mudata_lacks_a_modality(pair):
    mdata = MuData({"spatial": bare(pair[0]), "sc": bare(pair[1])})
    with pytest.raises(KeyError, match=r"no modality .*rna.*sc.*setup_mudata"):
        StImputeModel.setup_mudata(mdata)
    with pytest.raises(KeyError, match="no modality .*rna"):
        StImputeModel.from_mudata(mdata)


def test_mudata_that_was_not_set_up(pair):
    mdata = MuData({"spatial": bare(pair[0]), "rna": bare(pair[1])})
    with pytest.raises(ValueError, match="setup_anndata"):
        StImputeModel.from_mudata(mdata)


def test_every_public_name_is_there_without_an_import_of_its_own():
    names = "[getattr(stimpute, name) for name in stimpute.__all__]"
    script = f"import stimpute; {names}; stimpute.recipes.CrossfitRecipe, stimpute.tl.metrics.pcc"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
