import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import set_up, small_pair

from stimpute import StImputeModel
from stimpute._messages import check_at_least, check_at_most, missing_key, name_list, warn


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (pd.Index(list("abcde")), "a, b, c, d, e"),
        (iter("abcdefg"), "a, b, c, d, e and 2 more"),
        ([1, None], "1, None"),
    ],
)
def test_the_first_names_are_listed(names, text):
    assert name_list(names) == text


@given(st.lists(st.integers(), max_size=20), st.integers(1, 10))
def test_every_name_is_listed_or_counted(names, n_shown):
    text = name_list(names, n_shown)
    n_listed = min(len(names), n_shown)
    assert text.split(" and ")[0] == ", ".join(map(str, names[:n_listed]))
    assert (f"and {len(names) - n_shown} more" in text) == (len(names) > n_shown)


def test_a_missing_key_is_named_with_those_that_exist():
    error = missing_key("raw", "adata.layers", ["log", "counts"], "Pass `layer=`.")
    assert isinstance(error, KeyError)
    assert error.args[0] == "'raw' is not in `adata.layers`, which has ['counts', 'log']. Pass `layer=`."
    assert missing_key(3, "adata.obs", [2, "a"]).args[0] == "3 is not in `adata.obs`, which has ['2', 'a']."


def test_values_at_or_above_the_minimum_and_none_pass():
    check_at_least(1, first=1, second=2.5, third=None, fourth=np.int64(7))
    check_at_least(1)


@pytest.mark.parametrize("value", [0, -1, 0.5, float("nan")])
def test_a_value_below_the_minimum_is_named(value):
    with pytest.raises(ValueError, match=f"`n_folds` is {value}; expected at least 1"):
        check_at_least(1, first=5, n_folds=value)


def test_values_at_or_below_the_maximum_and_none_pass():
    check_at_most(7, first=7, second=-2.5, third=None, fourth=np.int64(7))
    with pytest.raises(ValueError, match="`n_folds` is 7.5; expected at most 7"):
        check_at_most(7, first=5, n_folds=7.5)


def test_keys_of_scvi_tools_are_not_offered():
    assert "has ['b', 'c']." in str(missing_key("a", "obs", ["c", "_scvi_batch", None, "b"]))


def test_warnings_are_given_at_the_line_of_the_user():
    """From near the call, from within scvi-tools and Lightning, and from a function that calls a function."""
    spatial, reference = small_pair(proteins=False)
    del spatial.obsm["spatial"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        set_up(spatial, reference, expression="normalized")
        model = StImputeModel(spatial, reference, n_steps=10, n_metacells=20)
        model.train(max_epochs=10**4, enable_progress_bar=False)
    found = {str(warning.message)[:12]: warning.filename for warning in caught}
    assert [found[start] for start in ("All values a", "`adata.obsm`", "`max_epochs`")] == [__file__] * 3


def test_a_warning_outside_of_any_package_is_given():
    with ThreadPoolExecutor(1) as pool, pytest.warns(UserWarning, match="in a thread"):
        pool.submit(warn, "in a thread").result()
