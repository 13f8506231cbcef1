import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from stimpute.data import _expression
from stimpute.data._expression import check_expression

COUNTS = hnp.arrays(np.float64, (5, 4), elements=st.integers(0, 1000).map(float))
FORMS = st.sampled_from([np.asarray, sparse.csr_matrix, sparse.csc_matrix, lambda x: x.astype(np.float32)])
CELLS, GENES = pd.Index([f"cell{i}" for i in range(5)]), pd.Index(list("abcd"))


@given(COUNTS, FORMS)
def test_counts_pass_in_any_form(x, form):
    check_expression(form(x), "counts", CELLS, GENES)
    check_expression(form(x), "normalized", CELLS, GENES)


@given(COUNTS, FORMS, st.integers(0, 4), st.integers(0, 3), st.sampled_from([np.nan, np.inf, -np.inf, -3.0, 0.25]))
def test_the_first_bad_value_is_found(x, form, cell, gene, bad):
    x[cell, gene] = bad
    with pytest.raises(ValueError, match=f"cell {CELLS[cell]!r} and gene {GENES[gene]!r}"):
        check_expression(form(x), "counts", CELLS, GENES)
    if bad == 0.25:
        check_expression(form(x), "normalized", CELLS, GENES)


def test_later_blocks_are_looked_at(monkeypatch):
    monkeypatch.setattr(_expression, "ROWS_PER_BLOCK", 2)
    x = np.ones((5, 4))
    x[4, 2] = 0.5
    with pytest.raises(ValueError, match="'cell4' and gene 'c'"):
        check_expression(sparse.csr_matrix(x), "counts", CELLS, GENES)


def test_integers_and_booleans_are_counts():
    for kind in (np.int32, np.uint8, np.int64):
        check_expression(np.ones((5, 4), kind), "counts", CELLS, GENES)
