import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stimpute import pp, tl
from stimpute.datasets import synthetic_tissue
from stimpute.tl import _graph_control
from stimpute.tl._graph_control import SHUFFLED, GraphControl, _permuted

QUICK = {
    "n_folds": 2,
    "progress": False,
    "n_steps": 20,
    "n_metacells": 40,
    "train_kwargs": {"max_epochs": 2, "accelerator": "cpu"},
}


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(n_cells=150, n_reference=120, n_measured=14, n_unmeasured=6, n_missing_proteins=3)
    pp.protein_graph(tissue.reference, tissue.proteins)
    genes = list(tissue.reference.var_names)
    pp.add_relation(tissue.reference, pd.DataFrame({"a": genes[:8], "b": genes[1:9]}), "chain")
    return tissue


@pytest.fixture(scope="module")
def control(tissue):
    return tl.graph_control(tissue.spatial, tissue.reference, "protein", n_permutations=2, **QUICK)


def test_arms_differ_in_the_relation_alone(control):
    methods = ["without protein", "protein", "protein, permuted 1", "protein, permuted 2"]
    assert list(control.genes["method"].unique()) == methods
    assert list(control.summary.index) == methods
    pcc = control.genes.query("metric == 'pcc'").pivot(index="gene", columns="method", values="value")
    assert pcc.shape == (14, 4)
    for other in methods[:1] + methods[2:]:
        assert not np.allclose(pcc["protein"], pcc[other])


def test_gain_is_paired_by_gene(control):
    gain = control.gain()
    table = control.genes.query("metric == 'pcc'").pivot(index="gene", columns="method", values="value")
    permuted = (table["protein, permuted 1"] + table["protein, permuted 2"]) / 2
    by_hand = table["protein"] - permuted
    assert gain.loc["over permuted", "mean"] == pytest.approx(by_hand.mean())
    assert gain.loc["over permuted", "standard_error"] == pytest.approx(by_hand.std() / np.sqrt(14))
    assert gain.loc["over none", "share_better"] == (table["protein"] > table["without protein"]).mean()
    assert (gain["n_genes"] == 14).all()
    mse = control.genes.query("metric == 'mse'").pivot(index="gene", columns="method", values="value")
    assert control.gain("mse").loc["over none", "mean"] == pytest.approx(
        (mse["without protein"] - mse["protein"]).mean()
    )
    with pytest.raises(KeyError, match="was not computed"):
        control.gain("r2")


def test_inputs_are_not_changed(tissue):
    reference = tissue.reference.copy()
    rng = np.random.default_rng(0)
    for relation in ("protein", "chain", "coexpression"):
        _permuted(reference, relation, np.arange(5), rng, {}, centred=True)
    np.testing.assert_array_equal(reference.varm["protein"], tissue.reference.varm["protein"])
    assert (reference.varp["chain"] != tissue.reference.varp["chain"]).nnz == 0
    assert set(reference.uns["stimpute"]["relations"]) == {"protein", "chain"}
    assert set(reference.varp) == {"protein", "chain"}


def test_vectors_stay_among_genes_that_have_one(tissue):
    data = _permuted(tissue.reference, "protein", np.arange(5), np.random.default_rng(0), {}, centred=True)
    before, after = tissue.reference.varm["protein"], data.varm["protein"]
    known = tissue.reference.var["has_protein"].to_numpy()
    assert not np.allclose(before, after)
    np.testing.assert_array_equal(np.sort(before[known], axis=0), np.sort(after[known], axis=0))
    assert not after[~known].any()
    np.testing.assert_array_equal(data.var["has_protein"], known)


def test_edges_keep_their_number_and_genes(tissue):
    data = _permuted(tissue.reference, "chain", np.arange(5), np.random.default_rng(1), {}, centred=True)
    before, after = tissue.reference.varp["chain"], data.varp["chain"]
    assert after.nnz == before.nnz
    assert (after != after.T).nnz == 0
    assert (after != before).nnz > 0
    np.testing.assert_array_equal(np.diff(after.indptr) > 0, np.diff(before.indptr) > 0)
    np.testing.assert_array_equal(np.sort(np.diff(after.indptr)), np.sort(np.diff(before.indptr)))


def test_coexpression_is_that_of_other_genes(tissue):
    shared = np.array([0, 3, 7, 11])
    data = _permuted(tissue.reference, "coexpression", shared, np.random.default_rng(2), {}, centred=True)
    other = np.random.default_rng(2).permutation(20)[shared]
    counts = tissue.reference.X.toarray().astype(float)
    total = counts.sum(1, keepdims=True)
    expected = np.corrcoef(np.log1p(counts / total * np.median(total)).T)[np.ix_(other, other)]
    graph = sparse.csr_matrix(data.varp[SHUFFLED]).toarray()
    np.testing.assert_allclose(graph[np.ix_(shared, shared)], expected, atol=1e-4)
    assert graph.sum() == pytest.approx(graph[np.ix_(shared, shared)].sum())


@pytest.mark.parametrize(
    ("relation", "recipe", "arms"),
    [
        ("protein", "crossfit", (["chain", "coexpression", "protein"], ["chain", "coexpression"])),
        ("coexpression", "crossfit", (["chain", "coexpression", "protein"], ["chain", "protein"])),
        ("chain", "paper", (["chain"], ["coexpression"])),
    ],
)
def test_relations_of_each_arm(tissue, monkeypatch, relation, recipe, arms):
    asked = []

    def spy(spatial, reference, relations, **options):
        asked.append((relations, options["baselines"], options["seed"]))
        genes = pd.DataFrame({"method": "stimpute", "gene": ["a"], "metric": "pcc", "value": 0.5})
        return type("Result", (), {"genes": genes})

    monkeypatch.setattr(_graph_control, "cross_validate", spy)
    control = tl.graph_control(tissue.spatial, tissue.reference, relation, seed=3, recipe=recipe)
    assert isinstance(control, GraphControl)
    assert [sorted(names) for names, *_ in asked[:2]] == list(arms)[::-1]
    assert (SHUFFLED in asked[2][0]) == (relation == "coexpression")
    assert {(baselines, seed) for _, baselines, seed in asked} == {(False, 3)}


def test_what_cannot_be_controlled_is_said(tissue):
    with pytest.raises(KeyError, match="it has .*chain.*protein_graph"):
        tl.graph_control(tissue.spatial, tissue.reference, "string")
    with pytest.raises(ValueError, match="at least 1"):
        tl.graph_control(tissue.spatial, tissue.reference, n_permutations=0)
    with pytest.raises(ValueError, match='recipe="crossfit"'):
        tl.graph_control(tissue.spatial, tissue.reference, "coexpression", recipe="paper")
