import anndata as ad
import dask.array as da
import numpy as np
import pandas as pd
import pytest

from stimpute import pp, tl
from stimpute.datasets import synthetic_tissue


@pytest.fixture(scope="module")
def spatial():
    spatial = synthetic_tissue(n_cells=40, n_reference=5, n_measured=4, n_unmeasured=2, n_missing_proteins=0).spatial
    spatial.var["symbol"] = ["A", "B", "C", "D"]
    spatial.layers["counts"] = spatial.X.copy()
    spatial.X = spatial.X * 0.5
    spatial.obsp["connectivities"] = np.eye(40)
    spatial.uns["cell_type_colors"] = ["#000000"] * spatial.obs["cell_type"].cat.categories.size
    spatial.uns["neighbors"] = {"connectivities_key": "connectivities"}
    return spatial


@pytest.fixture
def imputed(spatial):
    """A result with a measured and an unmeasured gene, which records layer and gene names of the setup."""
    values = np.random.default_rng(0).random((spatial.n_obs, 2)).astype(np.float32)
    var = pd.DataFrame({"reliability": [0.5, 0.25], "has_protein": [True, False]}, index=["B", "New/$x"])
    about = {"units": "u", "spatial_setup": {"layer": "counts", "gene_symbols": "symbol", "expression": "counts"}}
    return ad.AnnData(values, spatial.obs, var, layers={"lower": values - 1}, uns={"stimpute": about})


def test_measured_genes_keep_their_values_and_new_ones_are_added_with_a_flag(spatial, imputed):
    joined = tl.join_measured(spatial, imputed)
    assert list(joined.var_names) == ["A", "B", "C", "D", "New/$x"]
    assert joined.var["imputed"].tolist() == [False] * 4 + [True]
    assert joined.var["measured"].tolist() == [True] * 4 + [False]
    measured = pp.measured_expression(spatial, layer="counts").X.toarray()
    np.testing.assert_array_equal(joined.X[:, :4], measured)
    np.testing.assert_array_equal(joined.X[:, 4], imputed.X[:, 1])
    assert np.isnan(joined.layers["lower"][:, :4]).all()
    np.testing.assert_array_equal(joined.layers["lower"][:, 4], imputed.layers["lower"][:, 1])


def test_gene_ids_palettes_and_graphs_are_kept(spatial, imputed):
    joined = tl.join_measured(spatial, imputed)
    assert joined.var["gene_id"].tolist()[:4] == list(spatial.var_names)
    assert joined.var.loc["New/$x", "reliability"] == 0.25
    assert joined.uns["cell_type_colors"] == spatial.uns["cell_type_colors"]
    np.testing.assert_array_equal(joined.obsp["connectivities"], np.eye(40))
    assert joined.uns["neighbors"] == spatial.uns["neighbors"]
    assert joined.uns["stimpute"]["units"] == "u"
    np.testing.assert_array_equal(joined.obsm["spatial"], spatial.obsm["spatial"])


def test_the_result_can_be_written(spatial, imputed, tmp_path):
    joined = tl.join_measured(spatial, imputed)
    joined.write_h5ad(tmp_path / "joined.h5ad")
    read = ad.read_h5ad(tmp_path / "joined.h5ad")
    np.testing.assert_array_equal(read.X, joined.X)
    assert read.var["imputed"].tolist() == joined.var["imputed"].tolist()


@pytest.mark.filterwarnings("ignore:The expression is declared as normalized")
def test_a_layer_that_is_given_wins_over_the_record(spatial, imputed):
    joined = tl.join_measured(spatial, imputed, expression="normalized")
    np.testing.assert_array_equal(joined.X[:, :4], spatial.X.toarray())


def test_lazy_values_stay_lazy(spatial, imputed):
    imputed.X = da.from_array(imputed.X)
    joined = tl.join_measured(spatial, imputed)
    assert hasattr(joined.X, "compute")
    np.testing.assert_array_equal(joined.X.compute()[:, 4], imputed.X.compute()[:, 1])


def test_inputs_are_unchanged_and_other_cells_are_refused(spatial, imputed):
    before = spatial.copy()
    tl.join_measured(spatial, imputed)
    pd.testing.assert_frame_equal(spatial.var, before.var)
    assert list(imputed.var) == ["reliability", "has_protein"]
    with pytest.raises(ValueError, match="different cells"):
        tl.join_measured(spatial, imputed[::-1])


def test_sections_are_on_the_scale_of_the_cells_that_the_model_was_trained_on(spatial, imputed):
    """A section that is four times as deep has the same values, as its imputed ones have."""
    imputed.uns["stimpute"]["target_sum"] = 50.0
    expected = tl.join_measured(spatial, imputed).X[:, :4]
    deeper = spatial.copy()
    name = imputed.uns["stimpute"]["spatial_setup"]["layer"]
    deeper.layers[name] = 4 * deeper.layers[name]
    np.testing.assert_allclose(tl.join_measured(deeper, imputed).X[:, :4], expected, rtol=1e-5)
