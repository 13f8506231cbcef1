import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data import _checksums, _normalize
from stimpute.data._checksums import (
    ChangedDataError,
    KnownCells,
    RowChecksums,
    cell_checksums,
    gene_weights,
    readable_data,
)

GENES = pd.Index([f"g{number}" for number in range(30)])
CELLS = pd.Index([f"c{number}" for number in range(50)])


@pytest.fixture
def counts():
    return np.random.default_rng(0).poisson(0.7, (50, 30)).astype(np.float32)


def checksums(x, genes=GENES):
    return cell_checksums(sparse.csr_matrix(x), gene_weights(genes))


def test_weights_depend_on_the_name_alone():
    weights = gene_weights(GENES)
    assert len(np.unique(weights)) == 30
    assert ((weights >= 1) & (weights < 2)).all()
    assert weights.max() > 1.5
    np.testing.assert_array_equal(gene_weights(GENES[::-1]), weights[::-1])


def test_order_and_form_do_not_matter(counts, monkeypatch):
    expected = checksums(counts)
    order = np.random.default_rng(1).permutation(30)
    stored_twice = sparse.csr_matrix(np.hstack([counts, counts]))
    stored_twice.indices %= 30
    stored_twice = sparse.csr_matrix((stored_twice.data / 2, stored_twice.indices, stored_twice.indptr), (50, 30))
    np.testing.assert_allclose(checksums(counts[:, order], GENES[order]), expected)
    np.testing.assert_allclose(checksums(stored_twice), expected)
    np.testing.assert_allclose(checksums(counts.astype(np.int64)), expected)
    monkeypatch.setattr(_normalize, "ROWS_PER_BLOCK", 7)
    np.testing.assert_array_equal(checksums(counts), expected)


@given(st.integers(0, 49), st.integers(0, 29), st.integers(0, 29), st.sampled_from(["count", "swap"]))
def test_a_changed_cell_is_found(row, column, other, kind):
    before = np.random.default_rng(0).poisson(0.7, (50, 30))
    after = before.copy()
    if kind == "count":
        after[row, column] += 1
    else:
        after[row, [column, other]] = before[row, [other, column]]
    found = _checksums.changed_cells(checksums(after), checksums(before))
    assert list(found) == ([row] if (after != before).any() else [])


@pytest.mark.parametrize("scale", [1e-10, 1, 1e4])
def test_one_count_is_found_at_any_scale(counts, scale):
    """One count of 300,000 of a cell, or a value that is tiny in all cells."""
    before = counts.astype(np.float64)
    before[7] = 1e4
    after = before.copy()
    after[7, 3] += 1
    assert list(_checksums.changed_cells(checksums(after * scale), checksums(before * scale))) == [7]


def test_last_bits_do_not_matter(counts):
    normalized = np.log1p(counts)
    other = np.nextafter(normalized, np.float32(9))
    other[normalized == 0] = 0
    assert (other != normalized).any()
    assert len(_checksums.changed_cells(checksums(other), checksums(normalized))) == 0


def test_rows_of_another_number(counts):
    rows = RowChecksums(gene_weights(GENES), checksums(counts))
    rows[10:20].check(sparse.csr_matrix(counts[10:20]))
    with pytest.raises(ChangedDataError, match="10 cells were expected, and 9 were found"):
        rows[10:20].check(sparse.csr_matrix(counts[10:19]))
    with pytest.raises(ChangedDataError, match="Expression of 30 genes was expected"):
        rows.check(sparse.csr_matrix(counts[:, :29]))


def test_rows_of_other_values(counts):
    rows = RowChecksums(gene_weights(GENES), checksums(counts))[[3, 8, 9]]
    changed = sparse.csr_matrix(counts[[3, 9, 8]])
    with pytest.raises(ChangedDataError, match="expression of 2 of 3 cells"):
        rows.check(changed)
    changed.indices[-1] = 30  # as of a damaged file
    with pytest.raises(ChangedDataError, match="Expression of 30 genes was expected"):
        rows.check(changed)


def test_cells_are_compared_by_name(counts):
    known = KnownCells(CELLS, GENES, checksums(counts)[:40])  # the first cells were read
    known.check(CELLS, GENES, checksums(counts))
    known.check(CELLS[::-1], GENES, checksums(counts[::-1]))
    changed = counts.copy()
    changed[[3, 45]] += 1
    with pytest.raises(ChangedDataError, match="The expression of 1 cells, the first of them 'c3'"):
        known.check(CELLS, GENES, checksums(changed))
    changed[3] -= 1
    known.check(CELLS, GENES, checksums(changed))
    changed[0] += 1
    with pytest.raises(ChangedDataError, match="The expression of 1 cells, the first of them 'c0'"):
        known.check(CELLS, GENES, checksums(changed))
    known.check("new" + CELLS, GENES, checksums(changed))
    known.check(CELLS, "new" + GENES, checksums(changed))


def test_names_that_are_not_unique_are_compared_in_their_order(counts):
    cells = pd.Index(["c"] * 50)
    known = KnownCells(cells, GENES, checksums(counts))
    with pytest.raises(ChangedDataError, match="first of them 'c'"):
        known.check(cells, GENES, checksums(counts[::-1]))
    known.check(cells[:9], GENES, checksums(counts[::-1][:9]))


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError("the first line\nthe second"), "the first line"), (KeyError(), "KeyError")]
)
def test_an_error_of_reading_is_told_in_one_line(error, reason):
    with pytest.raises(ChangedDataError, match=rf"cannot be read: {reason}\. Expected") as found, readable_data():
        raise error
    assert found.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "told"), [("damaged", "b.h5ad: c.h5ad: damaged"), ("c.h5ad is damaged", "b.h5ad: c.h5ad is damaged")]
)
def test_files_are_named_once(error, told):
    with (
        pytest.raises(ChangedDataError, match=rf"cannot be read: {told}\. Expected"),
        readable_data("b.h5ad", "c.h5ad"),
    ):
        raise OSError(error)


def test_what_changed_is_told_as_it_is():
    error = ChangedDataError("other cells")
    with pytest.raises(ChangedDataError, match=r"^other cells$"), readable_data():
        raise error
