import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small import fit, set_up, small_pair

from stimpute import pl
from stimpute.data._relation_store import StoredRelation, write_relation

GENES = list("abcdef")


@pytest.fixture
def reference(rng):
    """Counts, protein vectors of all genes but the last, and a directed network."""
    counts = rng.poisson(3, (50, 6)).astype(np.float32)
    counts[:, 1] = 2 * counts[:, 0]
    adata = ad.AnnData(counts, var=pd.DataFrame({"symbol": [name.upper() for name in GENES]}, index=GENES))
    has_vector = np.arange(6) < 5
    vectors = np.where(has_vector[:, None], 10 + rng.normal(size=(6, 3)), 0)
    write_relation(adata, StoredRelation("protein", "vectors", vectors, has_vector))
    edges = sparse.csr_matrix(([0.5, 0.2, 1.0], ([0, 0, 3], [1, 2, 0])), shape=(6, 6))
    write_relation(adata, StoredRelation("string", "edges", edges, np.array([True, False, False, True, False, False])))
    return adata


def _drawn(ax):
    """Weights by gene, the strongest first."""
    names = [label.get_text() for label in ax.get_yticklabels()]
    return dict(zip(names, ax.lines[0].get_xdata(), strict=True))


def test_every_relation_has_a_panel_of_what_the_model_reads(reference):
    axes = pl.gene_neighbors(reference, "a", return_ax=True)
    assert [ax.get_title() for ax in axes] == ["a: coexpression", "a: protein", "a: string"]
    coexpression, protein, string = (_drawn(ax) for ax in axes)

    counts = reference.X
    totals = counts.sum(1, keepdims=True)
    expected = np.corrcoef(np.log1p(counts / totals * np.median(totals)).T)[0]
    assert set(coexpression) == {GENES[i] for i in range(1, 6) if expected[i] > 0}
    for gene, weight in coexpression.items():
        assert weight == pytest.approx(expected[GENES.index(gene)], abs=1e-5)
    assert next(iter(coexpression)) == "b"

    vectors = reference.varm["protein"][:5]
    centered = vectors - vectors.mean(0)
    unit = centered / np.linalg.norm(centered, axis=1, keepdims=True)
    expected = unit @ unit[0]
    assert protein == pytest.approx(
        {GENES[i]: expected[i] for i in np.argsort(-expected) if expected[i] > 0 and i}, abs=1e-5
    )
    assert string == {"b": 0.5, "c": pytest.approx(0.2)}


def test_names_in_several_panels_are_bold(reference):
    axes = pl.gene_neighbors(reference, "a", ["coexpression", "string"], return_ax=True)
    weights = {label.get_text(): label.get_fontweight() for label in axes[1].get_yticklabels()}
    assert weights["b"] == "bold"


def test_unmeasured_genes_are_not_shown(reference):
    axes = pl.gene_neighbors(reference, "a", measured=["a", "c", "unknown"], return_ax=True)
    for ax in axes:
        assert set(_drawn(ax)) <= {"c"}
    assert set(_drawn(axes[2])) == {"c"}


def test_a_gene_without_vector_or_edge_has_empty_panels(reference):
    axes = pl.gene_neighbors(reference, "f", ["protein", "string"], return_ax=True)
    for ax in axes:
        assert [text.get_text() for text in ax.texts] == ["no related genes"]


def test_a_constant_gene_correlates_with_none(reference):
    reference.X[:] = 1
    reference.X[:, 0] = np.arange(50) % 3
    reference.layers["flat"] = np.ones((50, 6), np.float32)
    [ax] = pl.gene_neighbors(reference, "a", "coexpression", layer="flat", return_ax=True)
    assert _drawn(ax) == {}


def test_expression_is_only_read_for_coexpression(reference):
    reference.X = -reference.X
    pl.gene_neighbors(reference, "a", "string")
    with pytest.raises(ValueError, match="negative"):
        pl.gene_neighbors(reference, "a", "coexpression")


def test_what_is_missing_is_named(reference):
    with pytest.raises(KeyError, match="Nope"):
        pl.gene_neighbors(reference, "Nope")
    with pytest.raises(KeyError, match="pathways"):
        pl.gene_neighbors(reference, "a", "pathways")
    with pytest.raises(KeyError, match="'A'"):
        pl.gene_neighbors(reference, "A")
    with pytest.raises(ValueError, match="`relations` is empty.*protein"):
        pl.gene_neighbors(reference, "a", [])
    with pytest.raises(ValueError, match="n_neighbors"):
        pl.gene_neighbors(reference, "a", n_neighbors=0)


def test_the_reference_is_unchanged(reference):
    before = reference.copy()
    pl.gene_neighbors(reference, "a")
    np.testing.assert_array_equal(reference.X, before.X)
    assert list(reference.varm) == list(before.varm)
    assert list(reference.uns) == list(before.uns)


@pytest.fixture(scope="module")
def trained():
    return fit(*set_up(*small_pair()), "crossfit", relations=["protein", "coexpression"])


def test_of_a_model_only_genes_and_relations_that_contribute_are_shown(trained):
    gene = trained.reference_genes.difference(trained.measured_genes)[0]
    axes = pl.gene_neighbors(trained, gene, return_ax=True)
    assert [ax.get_title() for ax in axes] == [f"{gene}: {name}" for name in trained.relations]
    for ax in axes:
        assert set(_drawn(ax)) <= set(trained.shared_genes)
    everything = pl.gene_neighbors(trained.reference, gene, "coexpression", return_ax=True)[0]
    assert not set(_drawn(everything)) <= set(trained.shared_genes)


def test_a_model_knows_its_data(trained, monkeypatch):
    with pytest.raises(TypeError, match="A model knows"):
        pl.gene_neighbors(trained, "Gene00", layer="counts")
    monkeypatch.setattr(type(trained), "reference", None)
    with pytest.raises(ValueError, match="The model has no reference"):
        pl.gene_neighbors(trained, "Gene00")
