"""The plot of cells that the reference explains."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from stimpute import pl


@pytest.fixture
def cells():
    """Six cells: two at 0 or below, three above, one without a value."""
    obs = pd.DataFrame({"explained": [-0.5, 0.0, 0.2, 0.6, 0.9, np.nan]}, index=list("abcdef"))
    return AnnData(obs=obs, obsm={"spatial": np.arange(12.0).reshape(6, 2)})


def test_cells_without_a_value_are_drawn_but_not_counted(cells):
    tissue, histogram = pl.explained(cells, return_ax=True)[:2]
    assert len(tissue.collections[0].get_offsets()) == 6
    assert sum(bar.get_height() for bar in histogram.patches) == 5
    assert histogram.get_title() == "40% of the cells at 0 or below"


def test_cells_that_are_explained_least_lie_on_top(cells):
    drawn = pl.explained(cells, return_ax=True)[0].collections[0]
    np.testing.assert_array_equal(drawn.get_array().filled(np.nan), [np.nan, 0.9, 0.6, 0.2, 0.0, -0.5])
    np.testing.assert_array_equal(drawn.get_offsets()[-1], cells.obsm["spatial"][0])


def test_the_tissue_lies_as_in_maps_of_genes(cells):
    values = AnnData(np.full((6, 1), 0.5, np.float32), obs=cells.obs, obsm=dict(cells.obsm))
    values.var_names = ["gene"]
    (of_gene, *_) = pl.imputed(values, values.copy(), "gene", expression="normalized", return_ax=True)
    (of_explained, *_) = pl.explained(cells, return_ax=True)
    assert of_explained.yaxis_inverted() == of_gene.yaxis_inverted()


def test_another_column_and_other_positions(cells):
    cells.obs["mine"] = 0.5
    cells.obsm["other"] = np.column_stack([cells.obsm["spatial"], np.zeros(6)])
    tissue, histogram = pl.explained(cells, key="mine", spatial_key="other", size=3, return_ax=True)[:2]
    assert tissue.get_title() == "mine"
    assert set(tissue.collections[0].get_sizes()) == {3}
    assert histogram.get_title() == "0% of the cells at 0 or below"


def test_what_is_missing_is_named(cells):
    with pytest.raises(KeyError, match="'share' is not in `adata.obs`"):
        pl.explained(cells, key="share")
    with pytest.raises(KeyError, match="'umap' is not in `adata.obsm`"):
        pl.explained(cells, spatial_key="umap")
    cells.obs["explained"] = np.nan
    with pytest.raises(ValueError, match="has no value.*at least 50 cells"):
        pl.explained(cells)
