import numpy as np
import pytest

from stimpute.explorer import _region
from stimpute.explorer._region import cells_inside, compare_region

SQUARE = np.array([[0.5, 0.5], [2, 2], [0.2, 0.9], [-1, 0.5]])


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "rect", "x0": 1, "x1": 0, "y0": 0, "y1": 1},
        {"type": "poly", "x": [0, 1, 1, 0], "y": [0, 0, 1, 1]},
    ],
)
def test_cells_inside_a_lasso_or_a_box(geometry):
    assert list(cells_inside(SQUARE, geometry)) == [True, False, True, False]


def test_a_line_contains_nothing():
    assert not cells_inside(SQUARE, {"type": "poly", "x": [0, 1], "y": [0, 1]}).any()


def test_regions_are_compared_by_mean_imputed_expression(explorer):
    section = explorer.tissue.sections[0]
    is_inside = section.coords[:, 0] < np.median(section.coords[:, 0])
    table = compare_region(explorer.values, section.cells, is_inside)
    assert table["difference"].is_monotonic_decreasing
    top = table.index[0]
    values = explorer.values.gene(top)["X"][section.cells]
    np.testing.assert_allclose(table.loc[top, "region"], values[is_inside].mean(), rtol=1e-4)
    np.testing.assert_allclose(table.loc[top, "rest"], values[~is_inside].mean(), rtol=1e-4)
    assert set(table.index) == set(explorer.values.table.index)


def test_large_regions_are_sampled(explorer, monkeypatch):
    monkeypatch.setattr(_region, "N_COMPARED", 10)
    n_rows = []
    n_genes = len(explorer.values.table)

    def all_genes(rows):
        n_rows.append(len(rows))
        return np.zeros((len(rows), n_genes))

    monkeypatch.setattr(explorer.values, "all_genes", all_genes)
    section = explorer.tissue.sections[0]
    compare_region(explorer.values, section.cells, np.arange(90) < 6)
    assert n_rows == [6, 10]


@pytest.mark.parametrize("n_inside", [0, 1, 89, 90])
def test_a_comparison_needs_cells_on_both_sides(explorer, n_inside):
    section = explorer.tissue.sections[0]
    with pytest.raises(ValueError, match="at least 2"):
        compare_region(explorer.values, section.cells, np.arange(90) < n_inside)
