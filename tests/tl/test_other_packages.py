"""Results work where users of scanpy and squidpy look at them, with the palette and the graph of the spatial data."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import scanpy as sc
import squidpy as sq
from matplotlib.colors import to_hex
from small import small_pair

from stimpute import tl

COLORS = ["#112233", "#445566", "#778899", "#aabbcc", "#ddeeff", "#001100", "#002200", "#003300"]


@pytest.fixture(scope="module")
def spatial():
    spatial = small_pair(proteins=False)[0]
    spatial.uns["cell_type_colors"] = COLORS[: spatial.obs["cell_type"].cat.categories.size]
    sc.pp.neighbors(spatial, use_rep="spatial", n_neighbors=5)
    return spatial


@pytest.fixture(scope="module")
def imputed(spatial):
    return tl.impute(spatial, small_pair(proteins=False)[1], method="knn")


@pytest.fixture(params=["imputed", "joined"])
def result(request, spatial, imputed):
    """What the model imputed alone, and with the measured genes."""
    return imputed if request.param == "imputed" else tl.join_measured(spatial, imputed)


@pytest.fixture(autouse=True)
def no_figures_left():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def test_scanpy_draws_a_gene_on_the_tissue(result, imputed):
    gene = imputed.var_names[0]
    ax = sc.pl.embedding(result, basis="spatial", color=gene, show=False, sort_order=False)
    np.testing.assert_allclose(ax.collections[0].get_array(), imputed[:, gene].X.ravel())


def test_scanpy_uses_the_palette(result, spatial):
    ax = sc.pl.embedding(result, basis="spatial", color="cell_type", show=False)
    drawn = {to_hex(color) for color in ax.collections[0].get_facecolors()}
    assert drawn == set(spatial.uns["cell_type_colors"])


@pytest.mark.filterwarnings("ignore:The set_bad function")
def test_squidpy_draws_a_gene_on_the_tissue(result, imputed):
    gene = imputed.var_names[0]
    ax = sq.pl.spatial_scatter(result, color=gene, shape=None, library_id="tissue", return_ax=True)
    assert len(ax.collections[0].get_offsets()) == result.n_obs


def test_scanpy_gives_a_table(result, imputed):
    gene = imputed.var_names[1]
    table = sc.get.obs_df(result, [gene, "cell_type"])
    np.testing.assert_allclose(table[gene], imputed[:, gene].X.ravel())


def test_scanpy_finds_the_graph_of_the_spatial_data(result, spatial):
    labels = {}
    for name, adata in (("result", result.copy()), ("spatial", spatial.copy())):
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
        labels[name] = list(adata.obs["leiden"])
    assert labels["result"] == labels["spatial"]
