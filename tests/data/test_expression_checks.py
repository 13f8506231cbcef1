import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from stimpute.data import _expression_checks
from stimpute.data._expression_checks import check_expression, check_form

COUNTS = hnp.arrays(np.float64, (5, 4), elements=st.integers(0, 1000).map(float))
FORMS = st.sampled_from([np.asarray, sparse.csr_matrix, sparse.csc_matrix, lambda x: x.astype(np.float32)])
CELLS, GENES = pd.Index([f"cell{i}" for i in range(5)]), pd.Index(list("abcd"))


@given(COUNTS, FORMS)
@pytest.mark.filterwarnings("ignore:All values are integers")
def test_counts_pass_in_any_form(x, form):
    check_expression(form(x), "counts", CELLS, GENES)
    check_expression(form(x), "normalized", CELLS, GENES)


@given(COUNTS, FORMS, st.integers(0, 4), st.integers(0, 3), st.sampled_from([np.nan, np.inf, -np.inf, -3.0, 0.25]))
@pytest.mark.filterwarnings("ignore:The expression is declared as normalized")
def test_the_first_bad_value_is_found(x, form, cell, gene, bad):
    x[cell, gene] = bad
    with pytest.raises(ValueError, match=f"cell {CELLS[cell]!r} and gene {GENES[gene]!r}"):
        check_expression(form(x), "counts", CELLS, GENES)
    if bad == 0.25:
        check_expression(form(x), "normalized", CELLS, GENES)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize(
    ("bad", "problem"), [(-2, "negative"), (2**24 + 1, "above"), (0.5, "integer"), (np.nan, "fin")]
)
def test_other_values_before_the_bad_one_are_good(form, bad, problem):
    x = np.array([[0.0, 1, 0, 7]] * 5)
    x[3, 1] = bad
    with pytest.raises(ValueError, match=rf"{problem}.*'cell3' and gene 'b'"):
        check_expression(form(x), "counts", CELLS, GENES)


def test_the_largest_exact_count_passes():
    check_expression(np.full((5, 4), 2.0**24), "counts", CELLS, GENES)


@pytest.mark.filterwarnings("ignore:The expression is declared as normalized")
def test_normalized_values_may_be_of_any_size():
    check_expression(np.full((5, 4), 1e12 + 0.5), "normalized", CELLS, GENES)


@pytest.mark.parametrize("bad", [0.5, -1, np.nan])
def test_bad_values_of_later_blocks_are_found(monkeypatch, bad):
    monkeypatch.setattr(_expression_checks, "ROWS_PER_BLOCK", 2)
    x = np.ones((5, 4))
    x[4, 2] = bad
    with pytest.raises(ValueError, match="'cell4' and gene 'c'"):
        check_expression(sparse.csr_matrix(x), "counts", CELLS, GENES)


def test_integers_and_booleans_are_counts():
    for kind in (np.int32, np.uint8, np.int64, bool):
        check_expression(np.ones((5, 4), kind), "counts", CELLS, GENES)
        check_expression(sparse.csr_matrix(np.ones((5, 4), kind)), "counts", CELLS, GENES)


def test_integers_declared_as_normalized_warn():
    x = np.ones((5, 4))
    with pytest.warns(UserWarning, match='All values are integers.*expression="counts"'):
        check_expression(x, "normalized", CELLS, GENES)
    x[0, 0] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_expression(x, "normalized", CELLS, GENES)
        check_expression(np.ones((5, 4)), "counts", CELLS, GENES)


def test_values_of_an_earlier_block_that_are_no_integers_are_enough(monkeypatch):
    monkeypatch.setattr(_expression_checks, "ROWS_PER_BLOCK", 2)
    x = np.ones((5, 4))
    x[0, 0] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_expression(x, "normalized", CELLS, GENES)


def test_an_unknown_kind_of_expression_is_refused():
    with pytest.raises(ValueError, match='`expression` is \'log\'; expected "counts" or "normalized"'):
        check_expression(np.ones((5, 4)), "log", CELLS, GENES)


@pytest.mark.parametrize("shape", [(0, 4), (5, 0)])
def test_an_empty_matrix_is_refused(shape):
    with pytest.raises(ValueError, match="nothing to work on"):
        check_expression(np.ones(shape), "counts", CELLS, GENES)


@pytest.mark.parametrize("form", [np.asarray, da.from_array])
def test_short_floats_are_refused(form):
    """They hold no counts above 2048, and SciPy has no sparse matrix of them."""
    with pytest.raises(ValueError, match=r"float16; expected float32.*astype\(\"float32\"\)"):
        check_form(form(np.ones((5, 4), np.float16)))


def test_values_that_are_no_logarithms_warn_where_they_are_declared_as_normalized():
    x = np.full((5, 4), 0.5)
    x[3, 1] = 1234
    check_expression(np.minimum(x, 30), "normalized", CELLS, GENES)
    with pytest.warns(UserWarning, match=r"up to 1.23e\+03, too large for logarithms.*log1p"):
        check_expression(x, "normalized", CELLS, GENES)
