import numpy as np
import pandas as pd
import pytest

from stimpute.explorer._genes import GeneProfiles, GeneTable

NAMES = ["Gad1", "Gad2", "Itgad", "GAD", "Mbp"]


@pytest.fixture
def genes():
    table = pd.DataFrame(
        {"reliability": [0.5, 0.6, 0.9, 0.1, 0.0], "measured": [True, False, False, False, False]}, index=NAMES
    )
    return GeneTable(table, "pcc")


def test_a_search_finds_parts_of_names_in_any_case(genes):
    assert list(genes.search("gad").index) == ["GAD", "Gad2", "Gad1", "Itgad"]
    assert list(genes.search(" TGA ").index) == ["Itgad"]
    assert genes.search("(").empty
    assert list(genes.search("").index) == ["Itgad", "Gad2", "Gad1", "GAD", "Mbp"]


def test_reliability_is_explained(genes):
    text = " ".join(genes.explain("Gad1"))
    assert "Pearson correlation of about 0.50" in text
    assert "25% of the variance" in text
    assert "2 of the 4 genes that were not measured have a higher reliability" in text
    assert "no agreement" in genes.explain("Mbp")[0]


def test_a_cosine_is_no_correlation(genes):
    text = " ".join(GeneTable(genes.ranked, "css").explain("Gad1"))
    assert "cosine similarity" in text
    assert "variance" not in text


def test_genes_alike_have_correlated_profiles():
    profile = np.random.default_rng(0).normal(size=(30, 1)).astype(np.float32)
    values = np.hstack([profile, 2 * profile + 1, -profile, profile + 0.1 * profile**2, np.ones_like(profile)])
    alike = GeneProfiles(values, pd.Index(NAMES)).alike("Gad1", 2)
    assert list(alike.index) == ["Gad2", "GAD"]
    np.testing.assert_allclose(alike["GAD"], np.corrcoef(values[:, 0], values[:, 3])[0, 1], rtol=1e-4)


def test_genes_with_one_predicted_value_are_like_no_gene():
    values = np.random.default_rng(0).random((301, 4)).astype(np.float32)
    values[:, 2:] = np.float32([0.1, 1.7])  # their mean is rounded
    profiles = GeneProfiles(values, pd.Index(NAMES[:4]))
    assert (profiles.alike(NAMES[2]) == 0).all()
    assert (profiles.alike(NAMES[0])[NAMES[2:4]] == 0).all()
