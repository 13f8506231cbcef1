import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data._hiding import Hiding, split_genes
from stimpute.data._spatial import SpatialCells


@given(st.integers(2, 60), st.integers(2, 8), st.integers(0, 5))
def test_every_gene_is_hidden_once(n_genes, n_hidings, seed):
    hidings = split_genes(n_genes, n_hidings, seed)
    assert len(hidings) == min(n_genes, n_hidings)
    assert sorted(np.concatenate([h.hidden for h in hidings])) == list(range(n_genes))
    for hiding in hidings:
        assert sorted([*hiding.visible, *hiding.hidden]) == list(range(n_genes))
        assert len(hiding.visible)
        assert list(hiding.visible) == sorted(hiding.visible)


def test_the_seed_decides():
    hidden = lambda seed: [h.hidden.tolist() for h in split_genes(20, 5, seed)]
    assert hidden(1) == hidden(1)
    assert hidden(1) != hidden(2)


def cells(counts, columns=None, counted=True):
    columns = np.arange(counts.shape[1]) if columns is None else columns
    return SpatialCells.from_matrix(sparse.csr_matrix(counts), columns, counts=counted)


def test_hidden_genes_are_not_in_the_totals():
    counts = np.random.default_rng(0).integers(0, 9, (8, 6)).astype(np.float32)
    hiding = Hiding(np.array([0, 2, 3, 5]), np.array([1, 4]))
    given = cells(counts)
    np.testing.assert_array_equal(given.visible_total(hiding), counts[:, hiding.visible].sum(1))
    np.testing.assert_array_equal(given.visible_total(Hiding.nothing(6)), counts.sum(1))
    other = counts.copy()
    other[:, 4] = 100
    visible = lambda c: c.normalised(hiding, c.typical_total(hiding))[:, hiding.visible]
    np.testing.assert_array_equal(visible(cells(other)), visible(given))


def test_genes_outside_the_panel_count_in_the_totals():
    counts = np.arange(12, dtype=np.float32).reshape(3, 4)
    part = cells(counts, np.array([2, 0]))
    assert part.panel.toarray().tolist() == counts[:, [2, 0]].tolist()
    assert part.total.tolist() == counts.sum(1).tolist()
    assert part[np.array([1])].total.tolist() == [counts[1].sum()]


def test_normalised_values_are_left_alone():
    values = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    given, hiding = cells(values, counted=False), Hiding(np.array([0, 1]), np.array([2, 3]))
    assert given.total is None
    assert given.typical_total(hiding) == 1
    np.testing.assert_array_equal(given.normalised(hiding, 1.0), values)
