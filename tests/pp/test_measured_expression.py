import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from stimpute import pp
from stimpute.datasets import synthetic_tissue


@pytest.fixture
def spatial():
    return synthetic_tissue(n_cells=200, n_reference=5).spatial


def test_measured_expression_is_log_normalized(spatial):
    adata = pp.measured_expression(spatial)
    counts = spatial.X.toarray()
    total = counts.sum(1, keepdims=True)
    np.testing.assert_allclose(adata.X.toarray(), np.log1p(counts / total * np.median(total)), rtol=1e-5)
    assert sparse.issparse(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert list(adata.var_names) == list(spatial.var_names)


def test_a_layer_of_normalized_values_is_kept(spatial):
    spatial.layers["half"] = spatial.X.log1p() / 2
    adata = pp.measured_expression(spatial, layer="half", expression="normalized")
    np.testing.assert_allclose(adata.X.toarray(), np.log1p(spatial.X.toarray()) / 2, rtol=1e-6)


def test_counts_that_are_stored_in_parts_are_summed_first(spatial):
    expected = pp.measured_expression(spatial)
    x = spatial.X.tocoo()  # one and the rest of each count, at the same place
    rows, columns = np.tile(x.row, 2), np.tile(x.col, 2)
    parts = np.concatenate([np.ones(x.nnz, np.float32), x.data - 1])
    order = np.lexsort([columns, rows])
    starts = np.searchsorted(rows[order], np.arange(x.shape[0] + 1))
    spatial.X = sparse.csr_matrix((parts[order], columns[order], starts), x.shape)
    assert spatial.X.nnz == 2 * x.nnz
    np.testing.assert_allclose(pp.measured_expression(spatial).X.toarray(), expected.X.toarray(), rtol=1e-6)


def test_what_is_not_counts_is_refused(spatial):
    spatial.layers["half"] = spatial.X / 2
    with pytest.raises(ValueError, match='expression="normalized"'):
        pp.measured_expression(spatial, layer="half")
    with pytest.raises(KeyError, match="half"):
        pp.measured_expression(spatial, layer="other")
    with pytest.raises(ValueError, match='expected "counts"'):
        pp.measured_expression(spatial, expression="raw")


def test_totals_count_the_input_genes(spatial):
    counted = list(spatial.var_names[3:])
    found = pp.measured_expression(spatial, input_genes=[*counted, "of another section"])
    of_counted = pp.measured_expression(spatial[:, counted].copy())
    np.testing.assert_allclose(found[:, counted].X.toarray(), of_counted.X.toarray(), rtol=1e-6)
    with pytest.raises(ValueError, match=r"none of the `input_genes` a, b; expected names as in .*gene_symbols="):
        pp.measured_expression(spatial, input_genes=["a", "b"])


def test_empty_cells_do_not_change_the_others(spatial):
    counts = spatial.X.toarray()
    with_empty = ad.AnnData(np.vstack([counts, np.zeros((300, counts.shape[1]), np.float32)]))
    adata = pp.measured_expression(with_empty)
    np.testing.assert_allclose(adata.X[:200].toarray(), pp.measured_expression(spatial).X.toarray(), rtol=1e-6)
    assert adata.X[200:].nnz == 0


def test_annotations_are_copied_and_the_data_do_not_change(spatial):
    before = spatial.copy()
    adata = pp.measured_expression(spatial[10:60])
    assert list(adata.obs) == list(spatial.obs)
    np.testing.assert_array_equal(adata.obsm["spatial"], spatial.obsm["spatial"][10:60])
    adata.X.data[:] = 7
    adata.obsm["spatial"][:] = 7
    adata.obs["cell_type"] = "x"
    assert (spatial.X != before.X).nnz == 0
    np.testing.assert_array_equal(spatial.obsm["spatial"], before.obsm["spatial"])
    assert spatial.obs.equals(before.obs)


def test_cells_are_scaled_to_a_given_total(spatial):
    found = pp.measured_expression(spatial, target_sum=100.0).X.toarray()
    totals = np.maximum(spatial.X.toarray().sum(1), 1)
    np.testing.assert_allclose(found, np.log1p(spatial.X.toarray() * (100 / totals)[:, None]), rtol=1e-5)


@pytest.mark.parametrize("total", [0, -3.0, float("nan"), float("inf")])
def test_a_total_that_no_cell_can_have_is_refused(spatial, total):
    with pytest.raises(ValueError, match="`target_sum` is"):
        pp.measured_expression(spatial, target_sum=total)
