"""Expression that is not in memory: one pass over it, and what is kept of it."""

import gc
import os
import pickle
import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from lazy import in_form
from scipy import sparse

from stimpute.data import _lazy, _rows
from stimpute.data._checksums import ChangedDataError
from stimpute.data._expression import ExpressionMatrix, read_expression
from stimpute.data._lazy import LazyExpression, Scans, open_expression

N_CELLS, N_GENES = 90, 9
GENES = pd.Index([f"g{number}" for number in range(N_GENES)])
COUNTED, SHARED = GENES[:5], GENES[3:6]


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch):
    monkeypatch.setattr(_rows, "ROWS_PER_BLOCK", 37)
    monkeypatch.setattr(_rows, "MIN_ROWS", 10)


@pytest.fixture
def x():
    return np.random.default_rng(0).poisson(0.4, (N_CELLS, N_GENES)).astype(np.float32)


@pytest.fixture
def adata(x):
    cells = [f"c{number}" for number in range(N_CELLS)]
    return AnnData(sparse.csr_matrix(x), pd.DataFrame(index=cells), pd.DataFrame(index=GENES))


def in_dask(adata, form=np.asarray, chunks=(40, -1)):
    lazy = adata.copy()
    lazy.X = da.from_array(adata.X.toarray(), chunks=chunks).map_blocks(form)
    return lazy


class Reads:
    """Puts an array in place of `X` that reads `x`, and counts how often each of its blocks is computed."""

    def __init__(self, adata):
        self.counts = np.zeros(3, int)
        self.x = adata.X.toarray()
        blocks = da.zeros(self.x.shape, chunks=(40, -1), dtype=self.x.dtype)
        adata.X = blocks.map_blocks(self._read, dtype=self.x.dtype, meta=np.empty((0, 0), self.x.dtype))

    def _read(self, block, block_info=None):
        self.counts[block_info[0]["chunk-location"][0]] += 1
        return self.x[slice(*block_info[0]["array-location"][0])]

    def new(self):
        """Counts since the last call."""
        counts = self.counts.tolist()
        self.counts[:] = 0
        return counts


# ---------------------------------------------------------------- one pass


@pytest.mark.parametrize("form", ["backed CSR", "backed dense", "lazy zarr CSR", "Dask CSR", "Dask dense"])
def test_one_pass_gives_what_the_matrix_in_memory_gives(adata, x, form, tmp_path):
    known = read_expression(adata)
    opened = open_expression(in_form(adata, form, tmp_path))
    assert isinstance(opened, LazyExpression)
    assert opened.is_counts
    scan = opened.scan(COUNTED, SHARED, Scans())
    assert list(scan.genes) == list(GENES)
    np.testing.assert_array_equal(scan.gene_sums(), known.gene_sums())
    assert scan.gene_sums().dtype == np.float64
    np.testing.assert_array_equal(scan.total_counts, x[:, :5].sum(1))
    assert scan.n_empty == (x[:, 3:6].sum(1) == 0).sum() > 0
    np.testing.assert_allclose(scan.checksums, known.checksums)
    np.testing.assert_allclose(opened.checksums, known.checksums[: len(opened.checksums)])
    assert len(opened.checksums) == opened.array.chunks[0][0]
    rows = opened.rows(GENES[[7, 2]], scan)
    np.testing.assert_array_equal(rows[np.array([88, 3])].toarray(), x[np.ix_([88, 3], [7, 2])])


@pytest.mark.parametrize("form", ["backed CSC", "Dask CSC"])
def test_a_matrix_by_column_is_read_and_checked(adata, x, form, tmp_path):
    opened = open_expression(in_form(adata, form, tmp_path))
    assert isinstance(opened, ExpressionMatrix)
    assert opened.is_counts
    np.testing.assert_array_equal(opened.values.toarray(), x)
    adata.X = adata.X * 0.5
    with pytest.raises(ValueError, match="raw counts"):
        open_expression(in_form(adata, form, tmp_path))
    assert not open_expression(in_form(adata, form, tmp_path), expression="normalized").is_counts


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_layer_and_names_are_chosen(adata, x, is_in_memory):
    adata.var["symbol"] = [f"G{number}" for number in range(N_GENES)]
    adata.layers["counts"] = sparse.csr_matrix(x + 1) if is_in_memory else da.from_array(x + 1, chunks=(40, -1))
    opened = open_expression(adata, layer="counts", gene_symbols="symbol")
    assert list(opened.genes) == list(adata.var["symbol"])
    assert isinstance(opened, ExpressionMatrix if is_in_memory else LazyExpression)
    sums = opened.gene_sums() if is_in_memory else opened.scan(opened.genes, opened.genes, Scans()).gene_sums()
    np.testing.assert_array_equal(sums, x.sum(0) + N_CELLS)
    assert open_expression(adata).genes.equals(GENES)


@pytest.mark.parametrize("row", [39, 40, 85])
@pytest.mark.parametrize(("value", "message"), [(0.5, "raw counts"), (-1, "negative"), (np.nan, "not finite")])
def test_a_bad_value_is_named(adata, row, value, message):
    adata.X[row, 3] = value
    expected = f"{message}.*cell 'c{row}' and gene 'g3'"
    if row < 40:  # in the first block, which is read at once
        with pytest.raises(ValueError, match=expected):
            open_expression(in_dask(adata))
    else:
        opened = open_expression(in_dask(adata))
        with pytest.raises(ValueError, match=expected):
            opened.scan(COUNTED, SHARED, Scans())


def test_kind_and_form_are_checked_before_anything_is_read(adata, x):
    with pytest.raises(ValueError, match='expected "counts" or "normalized"'):
        open_expression(in_dask(adata), expression="log")
    adata.X = da.from_array(x.astype(np.float16), chunks=(40, -1))
    with pytest.raises(ValueError, match="float16"):
        open_expression(adata)


def test_normalized_values(adata, x):
    adata.X = adata.X * 0.5
    opened = open_expression(in_dask(adata), expression="normalized")
    assert not opened.is_counts
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scan = opened.scan(COUNTED, SHARED, Scans())
    np.testing.assert_array_equal(scan.gene_sums(), x.sum(0) / 2)


def test_integers_that_are_declared_as_normalized(adata):
    opened = open_expression(in_dask(adata), expression="normalized")
    with pytest.warns(UserWarning, match="All values are integers"):
        opened.scan(COUNTED, SHARED, Scans())
    adata.X[50, 3] = 0.5  # one value that is not, in the second of three blocks
    opened = open_expression(in_dask(adata), expression="normalized")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened.scan(COUNTED, SHARED, Scans())


def test_stored_zeros_are_no_counts(adata, x):
    stored = sparse.csr_matrix(x + 1)
    stored.data -= 1
    blocks = [da.from_array(stored[start : start + 45], chunks=-1, asarray=False) for start in (0, 45)]
    adata.X = da.concatenate(blocks)
    scan = open_expression(adata).scan(COUNTED, SHARED, Scans())
    assert scan.n_empty == (x[:, 3:6].sum(1) == 0).sum()


def test_one_count_is_enough(adata):
    adata.X = sparse.csr_matrix(np.ones((N_CELLS, N_GENES), np.float32))
    assert open_expression(in_dask(adata)).scan(COUNTED, SHARED, Scans()).n_empty == 0


# ---------------------------------------------------------------- what is kept


def test_the_same_data_are_passed_over_once(adata):
    reads = Reads(adata)
    scans = Scans()
    opened = open_expression(adata)
    assert reads.new() == [1, 0, 0]
    first = opened.scan(COUNTED, SHARED, scans)
    assert reads.new() == [1, 1, 1]
    assert opened.scan(COUNTED, SHARED, scans) is first
    assert open_expression(adata).scan(COUNTED, SHARED, scans) is first
    assert reads.new() == [1, 0, 0]


def test_other_data_are_another_pass(adata, x):
    scans = Scans()
    adata.X = da.from_array(x, chunks=(40, -1))
    first = open_expression(adata).scan(COUNTED, SHARED, scans)
    assert open_expression(adata).scan(GENES[:4], SHARED, scans).total_counts.sum() == x[:, :4].sum()
    renamed = adata.copy()
    renamed.var_names = GENES[::-1]
    assert list(open_expression(renamed).scan(COUNTED, SHARED, scans).genes) == list(GENES[::-1])
    copied = adata.copy()
    assert open_expression(copied).scan(COUNTED, SHARED, scans) is not first
    with pytest.warns(UserWarning, match="integers"):
        open_expression(adata, expression="normalized").scan(COUNTED, SHARED, scans)
    adata.layers["more"] = da.from_array(x + 1, chunks=(40, -1))
    more = open_expression(adata, layer="more").scan(COUNTED, SHARED, scans)
    np.testing.assert_array_equal(more.sums, first.sums + N_CELLS)
    adata.var_names = GENES[::-1]
    assert list(open_expression(adata).scan(COUNTED, SHARED, scans).genes) == list(GENES[::-1])


def test_a_file_that_was_written_again_is_another_pass(adata, tmp_path):
    lazy = in_form(adata, "backed CSR", tmp_path)
    scans = Scans()
    first = open_expression(lazy).scan(COUNTED, SHARED, scans)
    assert open_expression(lazy).scan(COUNTED, SHARED, scans) is first
    os.utime(tmp_path / "a.h5ad", ns=(0, 0))
    assert open_expression(lazy).scan(COUNTED, SHARED, scans) is not first


def test_a_pass_is_remembered_for_other_genes_in_totals(adata):
    scans = Scans()
    opened = open_expression(in_dask(adata))
    first = opened.scan(COUNTED, SHARED, scans)
    opened.remember(first, GENES[:4], scans)
    assert opened.scan(GENES[:4], SHARED, scans) is first


def test_the_last_passes_are_kept(adata):
    scans = Scans()
    opened = open_expression(in_dask(adata))
    known = [opened.scan(GENES[:n], SHARED, scans) for n in range(1, _lazy.MAX_SCANS + 2)]
    kept = [scans.find(opened.adata, opened._key(GENES[:n])) for n in range(1, _lazy.MAX_SCANS + 2)]
    assert kept[0] is None
    assert all(found is expected for found, expected in zip(kept[1:], known[1:], strict=True))


def test_passes_over_data_that_are_gone_are_forgotten_first(adata):
    scans = Scans()
    opened = open_expression(in_dask(adata))
    first = opened.scan(COUNTED, SHARED, scans)
    for _ in range(_lazy.MAX_SCANS):
        open_expression(in_dask(adata)).scan(COUNTED, SHARED, scans)
    assert opened.scan(COUNTED, SHARED, scans) is first


def test_another_process_has_read_nothing(adata):
    scans = Scans()
    opened = open_expression(in_dask(adata))
    opened.scan(COUNTED, SHARED, scans)
    elsewhere = pickle.loads(pickle.dumps(scans))
    assert isinstance(elsewhere, Scans)
    assert elsewhere.find(opened.adata, opened._key(COUNTED)) is None


# ---------------------------------------------------------------- data that changed


def test_files_are_compared_with_what_they_held_first(adata):
    scans = Scans()
    copied = adata.copy()
    for section, names in ((adata, "1"), (copied, "2"), (adata, "1"), (copied, "2")):
        scans.check_stored(section, {"a.h5ad": {"obs/_index": names}})
    del section, copied  # of which nothing is kept
    gc.collect()
    for _ in range(2):
        with pytest.raises(ChangedDataError, match="a.h5ad was written again: `obs/_index`"):
            scans.check_stored(adata, {"a.h5ad": {"obs/_index": "2"}})


@pytest.mark.parametrize("row", [3, 83])
def test_rows_that_changed_after_the_pass_are_noticed(adata, row):
    reads = Reads(adata)
    scans = Scans()
    opened = open_expression(adata)
    scan = opened.scan(COUNTED, SHARED, scans)
    reads.x[row, 8] += 1
    rows = opened.rows(SHARED, scan)
    assert rows[np.array([row - 1, row + 1])].shape == (2, 3)
    with pytest.raises(ChangedDataError, match="1 of 1 cells"):
        rows[np.array([row])]
    if row < 40:  # in the first block, which is read when data are opened
        with pytest.raises(ChangedDataError, match="1 of 40 cells"):
            open_expression(adata).scan(COUNTED, SHARED, scans)


@pytest.mark.parametrize("form", ["backed CSR", "backed dense"])
def test_a_file_that_was_removed_is_named(adata, form, tmp_path):
    opened = open_expression(in_form(adata, form, tmp_path))
    (tmp_path / "a.h5ad").unlink()
    with pytest.raises(ChangedDataError, match="cannot be read.*a.h5ad"):
        opened.scan(COUNTED, SHARED, Scans())
