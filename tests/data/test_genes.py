import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimpute.data._genes import check_unique, locate_genes, nearest_names, shared_genes

NAMES = st.lists(st.text("ABCdef123", min_size=1, max_size=5), min_size=3, max_size=20, unique=True)


@given(NAMES, st.randoms(use_true_random=False))
def test_genes_are_found_by_name(names, random):
    available, asked = pd.Index(names), random.sample(names, 3)
    assert list(available[locate_genes(asked, available, "the reference")]) == asked


@given(NAMES, NAMES)
def test_shared_genes_keep_the_order_of_the_panel(spatial, reference):
    shared = [name for name in spatial if name in reference]
    if len(shared) < 3:
        with pytest.raises(ValueError, match=f"Found {len(shared)} genes"):
            shared_genes(pd.Index(spatial), pd.Index(reference))
    else:
        assert list(shared_genes(pd.Index(spatial), pd.Index(reference))) == shared


def test_suggestions_ignore_case_and_keep_the_spelling():
    assert nearest_names("SLC32a1", ["Rorb", "Slc32a1", "Slc17a7"])[0] == "Slc32a1"
    assert nearest_names("Rorb", []) == []
    assert nearest_names("zzzzzz", ["Rorb"]) == []


def test_many_missing_genes_are_not_all_listed():
    with pytest.raises(KeyError, match=r"25 gene\(s\).*and 15 more"):
        locate_genes([f"x{i}" for i in range(25)], pd.Index(["Rorb"]), "the reference")


def test_a_request_may_be_any_iterable_of_names():
    available = pd.Index(["a", "b", "c"])
    for request in (["c", "a"], ("c", "a"), pd.Index(["c", "a"]), iter(["c", "a"])):
        assert locate_genes(request, available, "it").tolist() == [2, 0]
    assert locate_genes("b", available, "it").tolist() == [1]


def test_duplicates_are_named_once():
    check_unique(pd.Index(["a", "b"]), "data set")
    with pytest.raises(ValueError, match=r"1 duplicated gene name\(s\), among them a\."):
        check_unique(pd.Index(["a", "a", "a", "b"]), "data set")


def test_the_hint_fits_the_mismatch():
    with pytest.raises(ValueError, match="case is ignored"):
        shared_genes(pd.Index(["RORB", "CUX2", "GAD1"]), pd.Index(["Rorb", "Cux2", "Gad1"]))
    with pytest.raises(ValueError, match="gene_symbols"):
        shared_genes(pd.Index(["ENSG1", "ENSG2", "ENSG3"]), pd.Index(["Rorb", "Cux2", "Gad1"]))
