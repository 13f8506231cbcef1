import anndata as ad
import dask.array as da
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


def test_clusters_of_the_truth_find_the_types(tissue, imputed):
    table = tl.clustering_scores(tissue.spatial, imputed, resolutions=(0.5,))
    assert set(table["matrix"]) == {"measured", "imputed", "imputed top 50"}
    assert set(table["metric"]) == {"ari", "fmi", "completeness", "ami"}
    assert table["value"].between(-0.5, 1).all()
    ari = table.query("metric == 'ari'").set_index("matrix")["value"]
    assert ari["imputed"] > 0.4
    again = tl.clustering_scores(tissue.spatial, imputed, resolutions=(0.5,))
    pd.testing.assert_frame_equal(table, again)


def test_results_that_are_not_in_memory_are_analyzed_alike(tissue, imputed):
    """As `impute(lazy=True)` and `impute(out=...)` return them."""
    genes = list(imputed.var_names[:40])
    some = imputed[:, genes].copy()
    lazy = some.copy()
    lazy.X = da.from_array(some.X, chunks=(100, 16))
    for analyze in (
        lambda result: tl.clustering_scores(tissue.spatial, result, resolutions=(1.0,)),
        lambda result: tl.morans_i(tissue.spatial, result, genes[:3]),
        tl.coexpression_modules,
    ):
        pd.testing.assert_frame_equal(analyze(lazy), analyze(some))


def test_files_that_were_opened_lazily_or_are_backed_are_analyzed_alike(tissue, imputed, tmp_path):
    genes = list(imputed.var_names[:6])
    some = imputed[:, genes].copy()
    some.write_h5ad(tmp_path / "imputed.h5ad")
    tissue.spatial.write_h5ad(tmp_path / "spatial.h5ad")
    analyses = {
        "clusters": lambda spatial, result: tl.clustering_scores(spatial, result, resolutions=(1.0,)),
        "moran": lambda spatial, result: tl.morans_i(spatial, result, genes[:3]),
        "joined": lambda spatial, result: tl.join_measured(spatial, result).to_df(),
        "scores": lambda spatial, result: tl.score(some, result, groupby="cell_type"),
        "scores of the file": lambda spatial, result: tl.score(result, some, groupby="cell_type"),
    }
    expected = {name: analyze(tissue.spatial, some) for name, analyze in analyses.items()}
    for way in (ad.experimental.read_lazy, lambda path: ad.read_h5ad(path, backed="r")):
        opened = [way(tmp_path / f"{name}.h5ad") for name in ("spatial", "imputed")]
        for spatial, result in ((tissue.spatial, opened[1]), (opened[0], some)):
            for name, analyze in analyses.items():
                pd.testing.assert_frame_equal(analyze(spatial, result), expected[name], obj=name)


def test_clustering_of_few_genes_and_unlabeled_cells(tissue, imputed):
    spatial = tissue.spatial.copy()
    spatial.obs["some"] = spatial.obs["cell_type"].where(np.arange(spatial.n_obs) < 200)
    table = tl.clustering_scores(spatial, imputed[:, :1], "some", resolutions=(1.0,))
    assert np.isfinite(table["value"]).all()


@pytest.mark.slow
def test_clustering_of_more_cells_than_scanpy_searches_exactly(monkeypatch):
    def one_cluster(adata, key_added, **kwargs):
        assert adata.obsp["connectivities"].nnz >= adata.n_obs
        adata.obs[key_added] = pd.Categorical(["0"] * adata.n_obs)

    monkeypatch.setattr("scanpy.tl.leiden", one_cluster)
    x = np.random.default_rng(0).poisson(3, (8300, 2)).astype(np.float32)
    spatial = ad.AnnData(x, obs=pd.DataFrame({"cell_type": "a"}, index=[f"cell{i}" for i in range(len(x))]))
    table = tl.clustering_scores(spatial, spatial, expression="counts", resolutions=(1.0,), n_neighbors=3)
    assert (table["n_clusters"] == 1).all()


def test_clustering_errors(tissue, imputed):
    with pytest.raises(KeyError, match="cell_type"):
        tl.clustering_scores(tissue.spatial, imputed, "kind")
    with pytest.raises(ValueError, match="different cells"):
        tl.clustering_scores(tissue.spatial, imputed[::-1])


def test_imputation_raises_morans_i(tissue, imputed):
    table = tl.morans_i(tissue.spatial, imputed)
    measured = imputed.var["measured"]
    assert list(table) == ["measured", "imputed", "difference"]
    assert list(table.index) == list(imputed.var_names)
    assert table.loc[~measured, "measured"].isna().all()
    assert table["imputed"].notna().all()
    assert table["difference"].mean() > 0
    pd.testing.assert_series_equal(table["difference"], table["imputed"] - table["measured"], check_names=False)


def test_morans_i_of_a_constant_gene_is_zero(tissue, imputed):
    gene = tissue.spatial.var_names[0]
    flat = imputed.copy()
    flat.X[:, flat.var_names.get_loc(gene)] = 1
    table = tl.morans_i(tissue.spatial, flat, [gene])
    assert table.loc[gene, "imputed"] == 0


def test_morans_i_is_of_the_positions_and_sections_of_the_setup(tissue, imputed):
    spatial = tissue.spatial.copy()
    spatial.obsm["xy"] = spatial.obsm.pop("spatial")
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) % 2, "a", "b")
    recorded = imputed.copy()
    recorded.uns["stimpute"] = {"spatial_setup": {"spatial_key": "xy", "batch_key": "section"}}
    genes = list(spatial.var_names[:2])
    expected = tl.morans_i(spatial, imputed, genes, spatial_key="xy", library_key="section")
    pd.testing.assert_frame_equal(tl.morans_i(spatial, recorded, genes), expected)


def test_morans_i_of_sections_that_are_too_small_names_them(tissue, imputed):
    spatial = tissue.spatial.copy()
    first = np.arange(spatial.n_obs) < 5
    spatial.obs["section"] = pd.Categorical(np.where(first, "a", "b"), categories=["a", "b", "unused"])
    with pytest.raises(ValueError, match=r"Section 'a' has 5 cells, too few for n_neighbors=6"):
        tl.morans_i(spatial, imputed, library_key="section")
    genes = list(imputed.var_names[:2])
    assert np.isfinite(tl.morans_i(spatial, imputed, genes, library_key="section", n_neighbors=3)["imputed"]).all()
    with pytest.raises(ValueError, match="The section has 5 cells"):
        tl.morans_i(tissue.spatial[:5], imputed[:5])


def test_cells_without_a_section_are_told(tissue, imputed):
    spatial = tissue.spatial.copy()
    spatial.obs["section"] = pd.Categorical(["a"] * 200 + ["b"] * 199 + [None])
    with pytest.raises(ValueError, match=r"`spatial.obs\['section'\]` has no value for 1 cell"):
        tl.morans_i(spatial, imputed, library_key="section")


def test_morans_i_names_what_is_missing(tissue, imputed):
    with pytest.raises(KeyError, match="Nope"):
        tl.morans_i(tissue.spatial, imputed, ["Nope"])
    with pytest.raises(KeyError, match="place"):
        tl.morans_i(tissue.spatial, imputed, spatial_key="place")
    with pytest.raises(KeyError, match="section"):
        tl.morans_i(tissue.spatial, imputed, library_key="section")
    with pytest.raises(KeyError, match="log"):
        tl.morans_i(tissue.spatial, imputed, layer="log")
    with pytest.raises(ValueError, match="different cells"):
        tl.morans_i(tissue.spatial, imputed[::-1])


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
    assert pd.isna(table["nearest"].iloc[24])
    assert table["cohesion"].iloc[24] == 0
    assert (table["cohesion"].iloc[:20] > 0.5).all()


def test_modules_need_genes(imputed):
    with pytest.raises(ValueError, match="2 genes"):
        tl.coexpression_modules(imputed[:, :2])
    with pytest.raises(ValueError, match="`n_neighbors` is 0"):
        tl.coexpression_modules(imputed, n_neighbors=0)


@pytest.fixture(scope="module")
def many_ways(tissue):
    """Spatial data with another layer, other coordinates, sections and other labels."""
    rng = np.random.default_rng(1)
    spatial = tissue.spatial.copy()
    spatial.layers["other"] = rng.poisson(2, spatial.shape).astype(np.float32)
    spatial.obsm["other"] = rng.random((spatial.n_obs, 2))
    spatial.obs["section"] = pd.Categorical(rng.choice(["a", "b"], spatial.n_obs))
    return spatial


@pytest.mark.filterwarnings("ignore:All values are integers")
@pytest.mark.parametrize(
    "changed",
    [
        {"labels": "domain"},
        {"layer": "other"},
        {"expression": "normalized"},
        {"resolutions": (2.0,)},
        {"n_top_genes": 20},
        {"n_pcs": 2},
        {"n_neighbors": 5},
        {"seed": 1},
    ],
)
def test_an_argument_changes_the_clustering(many_ways, imputed, changed):
    arguments = {"resolutions": (1.0,), "n_pcs": 10}
    table = tl.clustering_scores(many_ways, imputed, **arguments)
    assert not table.equals(tl.clustering_scores(many_ways, imputed, **{**arguments, **changed}))


@pytest.mark.filterwarnings("ignore:All values are integers")
@pytest.mark.parametrize(
    "changed",
    [
        {"genes": ["Gene001"]},
        {"layer": "other"},
        {"expression": "normalized"},
        {"spatial_key": "other"},
        {"library_key": "section"},
        {"n_neighbors": 20},
    ],
)
def test_an_argument_changes_morans_i(many_ways, imputed, changed):
    arguments = {"genes": list(many_ways.var_names[:3])}
    table = tl.morans_i(many_ways, imputed, **arguments)
    assert not table.equals(tl.morans_i(many_ways, imputed, **{**arguments, **changed}))


@pytest.mark.parametrize("changed", [{"n_neighbors": 3}, {"resolution": 5.0}, {"seed": 1}])
def test_an_argument_changes_the_modules(imputed, changed):
    noise = np.random.default_rng(0).normal(size=(100, 60))
    noisy = ad.AnnData(noise, var=pd.DataFrame(index=[f"g{i}" for i in range(60)]))
    assert not tl.coexpression_modules(noisy).equals(tl.coexpression_modules(noisy, **changed))


def test_inputs_are_unchanged(tissue, imputed):
    spatial = tissue.spatial.copy()
    before = spatial.X.toarray(), imputed.X.copy(), list(spatial.uns), list(spatial.obsp)
    tl.clustering_scores(spatial, imputed, resolutions=(1.0,))
    tl.morans_i(spatial, imputed)
    tl.coexpression_modules(imputed)
    np.testing.assert_array_equal(spatial.X.toarray(), before[0])
    np.testing.assert_array_equal(imputed.X, before[1])
    assert (list(spatial.uns), list(spatial.obsp)) == before[2:]


def test_constant_genes_have_no_neighbors_in_any_number_of_cells():
    varying = np.random.default_rng(0).random((20_000, 3))
    x = np.column_stack([np.full((20_000, 3), [0.1, 0.3, 1.7]), varying]).astype(np.float32)
    table = tl.coexpression_modules(ad.AnnData(x), n_neighbors=2)
    assert table["nearest"][:3].isna().all()
    assert (table["correlation"][:3] == 0).all()
    assert table["module"][:3].nunique() == 3
