import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from stimpute.data._expression import ExpressionMatrix
from stimpute.data._genes import (
    check_genes_present,
    closest_names,
    expressed_shared_genes,
    genes_in_totals,
    locate_genes,
    match_genes,
)

NAMES = st.lists(st.text("ABCdef123", min_size=1, max_size=5), min_size=3, max_size=20, unique=True)


def matrix(genes: str, zeros: str = "") -> ExpressionMatrix:
    """Expression of genes with names of one letter."""
    values = np.ones((2, len(genes)))
    values[:, [genes.index(name) for name in zeros]] = 0
    return ExpressionMatrix(sparse.csr_matrix(values), pd.Index(list(genes)), is_counts=True)


@given(NAMES, st.randoms(use_true_random=False))
def test_genes_are_found_by_name(names, random):
    available, asked = pd.Index(names), random.sample(names, 3)
    assert list(available[locate_genes(asked, available, "the reference")]) == asked


@given(NAMES, NAMES)
@pytest.mark.filterwarnings("ignore:.*differ in case")
def test_shared_genes_keep_the_order_of_the_spatial_data(spatial, reference):
    shared = [name for name in spatial if name in reference]
    if len(shared) < 3:
        with pytest.raises(ValueError, match=f"Found {len(shared)} genes"):
            match_genes(pd.Index(spatial), pd.Index(reference))
    else:
        assert list(match_genes(pd.Index(spatial), pd.Index(reference))) == shared


def test_further_names_that_differ_in_case_only_are_warned_of_and_not_used():
    reference = pd.Index(["Rorb", "Cux2", "Gad1", "Sst"])
    with pytest.warns(UserWarning, match="3 genes match by name; 1 more differ in case.*not used: SST for Sst"):
        shared = match_genes(pd.Index(["Gad1", "SST", "Rorb", "Cux2", "Other"]), reference)
    assert list(shared) == ["Gad1", "Rorb", "Cux2"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match_genes(pd.Index(["Gad1", "Rorb", "Cux2", "Other"]), reference)


@pytest.mark.parametrize(
    ("name", "counterpart"),
    [
        ("HLA.A", "HLA-A"),  # as R changes names
        ("Rorb ", "Rorb"),
        ("X1810037I17Rik", "x1810037I17Rik"),
        ("ENSG00000141510.18", "ENSG00000141510"),
        ("ENSG00000141510", "ENSG00000141510.18"),
        ("mt_co1", "mt-Co1"),
    ],
)
def test_names_that_programs_change_are_told(name, counterpart):
    same = ["Gad1", "Cux2", "Sst"]
    with pytest.warns(UserWarning, match=f"1 more differ .* not used: {re.escape(f'{name} for {counterpart}')}"):
        shared = match_genes(pd.Index([*same, name]), pd.Index([*same, counterpart]))
    assert list(shared) == same


@pytest.mark.parametrize(("name", "other"), [("Gad2", "Gad1"), ("-", "."), ("Nkx2-1", "Nkx2-2"), ("A.1", "A.2")])
def test_other_genes_are_not_taken_for_nearly_equal(name, other):
    same = ["Gad1", "Cux2", "Sst"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        match_genes(pd.Index([*same, name]), pd.Index([*same, other]))


def test_the_hint_fits_the_mismatch():
    with pytest.raises(ValueError, match="are ignored, RORB for Rorb, CUX2 for Cux2 and 1 more: bring both"):
        match_genes(pd.Index(["RORB", "CUX2", "GAD1"]), pd.Index(["Rorb", "Cux2", "Gad1"]))
    with pytest.raises(ValueError, match="gene_symbols"):
        match_genes(pd.Index(["ENSG1", "ENSG2", "ENSG3"]), pd.Index(["Rorb", "Cux2", "Gad1"]))


@pytest.mark.parametrize(("spatial", "reference"), [("c", ""), ("", "c"), ("c", "c")])
def test_genes_without_expression_in_one_dataset_are_no_inputs(spatial, reference):
    with pytest.warns(UserWarning, match=r"1 shared gene\(s\) are zero in every cell of one dataset.*: c\."):
        shared = expressed_shared_genes(matrix("xdcba", spatial), matrix("abcdyz", reference))
    assert list(shared) == list("dba")


def test_a_gene_that_is_hardly_expressed_is_an_input():
    hardly = ExpressionMatrix(sparse.csr_matrix([[0.5, 1, 2, 3]]), pd.Index(list("abcd")), is_counts=False)
    assert list(expressed_shared_genes(hardly, matrix("abcd"))) == list("abcd")


def test_zeros_of_genes_that_are_not_shared_do_not_matter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(expressed_shared_genes(matrix("xdcba", "x"), matrix("abcdyz", "yz"))) == list("dcba")


def test_too_few_expressed_genes_are_refused():
    with (
        pytest.raises(ValueError, match="2 of 4 shared genes are expressed"),
        pytest.warns(UserWarning, match=r"2 shared gene\(s\) are zero"),
    ):
        expressed_shared_genes(matrix("abcd", "ab"), matrix("abcd"))


def test_totals_are_over_inputs_and_genes_that_are_never_predicted():
    spatial, reference = matrix("xbyca"), matrix("abcd")
    assert list(genes_in_totals(spatial, reference, pd.Index(["b", "a"]))) == list("xbya")


def test_suggestions_ignore_case_and_keep_the_spelling():
    assert closest_names("SLC32a1", ["Rorb", "Slc32a1", "Slc17a7"])[0] == "Slc32a1"
    assert closest_names("Rorb", []) == []
    assert closest_names("zzzzzz", ["Rorb"]) == []
    assert len(closest_names("Slc1a1", [f"Slc1a{i}" for i in range(2, 9)], n=2)) == 2


def test_a_missing_gene_is_named_with_its_closest_spelling():
    with pytest.raises(KeyError, match=r"1 gene\(s\) are not in the reference: 'RORb' \(did you mean Rorb\?\)"):
        locate_genes(["RORb"], pd.Index(["Rorb"]), "the reference")


def test_many_missing_genes_are_not_all_listed():
    with pytest.raises(KeyError, match=r"25 gene\(s\).*and 15 more"):
        locate_genes([f"x{i}" for i in range(25)], pd.Index(["Rorb"]), "the reference")


def test_ten_missing_genes_are_all_listed_and_nothing_is_suggested_where_nothing_is_close():
    with pytest.raises(KeyError) as error:
        locate_genes([f"x{i}" for i in range(10)], pd.Index(["Rorb"]), "the reference")
    assert "more" not in str(error.value)
    assert "did you mean" not in str(error.value)


def test_a_request_may_be_any_iterable_of_names():
    available = pd.Index(["a", "b", "c"])
    for request in (["c", "a"], ("c", "a"), pd.Index(["c", "a"]), iter(["c", "a"])):
        assert locate_genes(request, available, "it").tolist() == [2, 0]
    assert locate_genes("b", available, "it").tolist() == [1]
    assert locate_genes("Gad1", pd.Index(["Sst", "Gad1"]), "it").tolist() == [1]


def test_empty_and_repeated_requests_are_refused():
    with pytest.raises(ValueError, match="`genes` is empty"):
        locate_genes([], pd.Index(["a"]), "it")
    with pytest.raises(ValueError, match="`genes` repeats a"):
        locate_genes(["a", "b", "a"], pd.Index(["a", "b"]), "it")


def test_a_section_needs_every_gene_in_any_order():
    check_genes_present(["a", "b"], pd.Index(["b", "x", "a"]))
    with pytest.raises(
        ValueError, match=r"reads 3 measured genes; 2 of them are not in this AnnData \(2 genes\): b, c"
    ):
        check_genes_present(["a", "b", "c"], pd.Index(["a", "x"]))
