import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute import tl
from stimpute.datasets import synthetic_tissue


@pytest.fixture(scope="module")
def tissue():
    return synthetic_tissue(n_cells=400, n_reference=50)


@pytest.fixture(scope="module")
def imputed(tissue):
    """A perfect prediction."""
    truth = tissue.truth.copy()
    del truth.layers["counts"]
    return truth


def test_measured_expression_is_log_normalised(tissue):
    adata = tl.measured_expression(tissue.spatial)
    counts = tissue.spatial.X.toarray()
    total = counts.sum(1, keepdims=True)
    np.testing.assert_allclose(adata.X.toarray(), np.log1p(counts / total * np.median(total)), rtol=1e-5)
    assert "spatial" in adata.obsm


def test_measured_expression_refuses_what_is_not_counts(tissue):
    spatial = tissue.spatial.copy()
    spatial.layers["half"] = spatial.X / 2
    with pytest.raises(ValueError, match="expression='normalized'"):
        tl.measured_expression(spatial, layer="half")
    np.testing.assert_allclose(
        tl.measured_expression(spatial, layer="half", expression="normalized").X.toarray(), spatial.X.toarray() / 2
    )
    with pytest.raises(KeyError, match="half"):
        tl.measured_expression(spatial, layer="other")
    with pytest.raises(ValueError, match="expected 'counts'"):
        tl.measured_expression(spatial, expression="raw")


def test_clusters_of_the_truth_find_the_types(tissue, imputed):
    table = tl.clustering_scores(tissue.spatial, imputed, resolutions=(0.5,))
    assert set(table["matrix"]) == {"measured", "imputed", "imputed top 50"}
    assert set(table["metric"]) == {"ari", "fmi", "completeness", "ami"}
    assert table["value"].between(-0.5, 1).all()
    ari = table.query("metric == 'ari'").set_index("matrix")["value"]
    assert ari["imputed"] > 0.4
    again = tl.clustering_scores(tissue.spatial, imputed, resolutions=(0.5,))
    pd.testing.assert_frame_equal(table, again)


def test_clustering_of_few_genes_and_unlabelled_cells(tissue, imputed):
    spatial = tissue.spatial.copy()
    spatial.obs["some"] = spatial.obs["cell_type"].where(np.arange(spatial.n_obs) < 200)
    table = tl.clustering_scores(spatial, imputed[:, :1], "some", resolutions=(1.0,))
    assert np.isfinite(table["value"]).all()


def test_clustering_errors(tissue, imputed):
    with pytest.raises(KeyError, match="cell_type"):
        tl.clustering_scores(tissue.spatial, imputed, "kind")
    with pytest.raises(ValueError, match="different cells"):
        tl.clustering_scores(tissue.spatial, imputed[::-1])


def test_imputation_inflates_morans_i(tissue, imputed):
    table = tl.spatial_coherence(tissue.spatial, imputed)
    measured = imputed.var["measured"]
    assert list(table.index) == list(imputed.var_names)
    assert table.loc[~measured, "measured"].isna().all()
    assert table["imputed"].notna().all()
    assert table["inflation"].mean() > 0


def test_coherence_of_some_genes_by_section(tissue, imputed):
    spatial = tissue.spatial.copy()
    spatial.obs["section"] = pd.Categorical(np.where(np.arange(spatial.n_obs) < 200, "a", "b"))
    gene = spatial.var_names[0]
    flat = imputed.copy()
    flat.X[:, flat.var_names.get_loc(gene)] = 1
    table = tl.spatial_coherence(spatial, flat, [gene], library_key="section")
    assert table.loc[gene, "imputed"] == 0
    with pytest.raises(KeyError, match="Nope"):
        tl.spatial_coherence(spatial, imputed, ["Nope"])
    with pytest.raises(KeyError, match="place"):
        tl.spatial_coherence(spatial, imputed, spatial_key="place")


def test_modules_are_the_programs():
    rng = np.random.default_rng(0)
    programs = rng.normal(size=(300, 3))
    x = np.repeat(programs, [12, 8, 5], axis=1) + 0.3 * rng.normal(size=(300, 25))
    x[:, 24] = 1  # constant
    genes = [f"g{i}" for i in range(25)]
    table = tl.coexpression_modules(ad.AnnData(x, var=pd.DataFrame(index=genes)), n_neighbors=3)
    for start, stop in ((0, 12), (12, 20), (20, 24)):
        assert table["module"].iloc[start:stop].nunique() == 1
    assert table["module"].iloc[0] == 0
    assert table["module"].nunique() == 4
    assert table["nearest"].iloc[24] is None
    assert table["cohesion"].iloc[24] == 0
    assert (table["cohesion"].iloc[:20] > 0.5).all()


def test_modules_need_genes(imputed):
    with pytest.raises(ValueError, match="2 genes"):
        tl.coexpression_modules(imputed[:, :2])
