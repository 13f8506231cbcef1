import numpy as np
import pandas as pd
import pytest

from stimpute import StImputeModel, pp, tl
from stimpute.data._relation_store import relation_names
from stimpute.datasets import synthetic_tissue
from stimpute.recipes import CrossfitRecipe, PaperRecipe
from stimpute.tl import _relation_ablation
from stimpute.tl._permute_relation import PERMUTED_COEXPRESSION

pytestmark = pytest.mark.filterwarnings("ignore:.*have no count of any gene shared")

QUICK = {
    "n_folds": 2,
    "progress": False,
    "n_steps": 10,
    "n_metacells": 20,
    "train_kwargs": {"max_epochs": 1, "accelerator": "cpu"},
}


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(n_cells=90, n_reference=80, n_measured=14, n_unmeasured=6, n_missing_proteins=3)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    genes = list(tissue.reference.var_names)
    pp.add_gene_network(tissue.reference, pd.DataFrame({"a": genes[:8], "b": genes[1:9]}), "chain")
    return tissue


@pytest.fixture(scope="module")
def ablation(tissue):
    return tl.relation_ablation(tissue.spatial, tissue.reference, "protein", n_permutations=2, **QUICK)


# ---------------------------------------------------------------- the result


def test_methods_differ_in_the_relation_alone(ablation):
    methods = ["without protein", "protein", "protein, permuted 1", "protein, permuted 2"]
    assert ablation.relation == "protein"
    assert ablation.without == "without protein"
    assert list(ablation.genes["method"].unique()) == methods
    assert list(ablation.summary.index) == methods
    pcc = ablation.genes.query("metric == 'pcc'").pivot(index="gene", columns="method", values="value")
    assert pcc.shape == (14, 4)
    for other in methods[:1] + methods[2:]:
        assert not np.allclose(pcc["protein"], pcc[other])
    assert not np.allclose(pcc["protein, permuted 1"], pcc["protein, permuted 2"])


def test_each_method_is_a_cross_validation(ablation, tissue):
    for method, relations in (("protein", "auto"), ("without protein", ["coexpression", "chain"])):
        alone = tl.cross_validate(tissue.spatial, tissue.reference, relations=relations, baselines=False, **QUICK)
        found = ablation.genes[ablation.genes["method"] == method].drop(columns="method").reset_index(drop=True)
        expected = alone.genes.drop(columns="method")
        keys = ["gene", "metric"]
        pd.testing.assert_frame_equal(
            found.sort_values(keys, ignore_index=True), expected.sort_values(keys, ignore_index=True)
        )


def test_gain_is_paired_by_gene(ablation):
    gain = ablation.gain()
    table = ablation.genes.query("metric == 'pcc'").pivot(index="gene", columns="method", values="value")
    permuted = (table["protein, permuted 1"] + table["protein, permuted 2"]) / 2
    by_hand = table["protein"] - permuted
    assert gain.loc["over permuted", "mean"] == pytest.approx(by_hand.mean())
    assert gain.loc["over permuted", "standard_error"] == pytest.approx(by_hand.std() / np.sqrt(14))
    assert gain.loc["over none", "share_better"] == (table["protein"] > table["without protein"]).mean()
    assert (gain["n_genes"] == 14).all()


def test_a_positive_gain_is_better_for_errors_too(ablation):
    mse = ablation.genes.query("metric == 'mse'").pivot(index="gene", columns="method", values="value")
    expected = (mse["without protein"] - mse["protein"]).mean()
    assert ablation.gain("mse").loc["over none", "mean"] == pytest.approx(expected)
    with pytest.raises(KeyError, match="'r2' was not computed.*pcc"):
        ablation.gain("r2")


def test_a_single_gene_has_a_gain_without_an_error():
    rows = [("without a", 0.2), ("a", 0.5), ("a, permuted 1", 0.4)]
    genes = pd.DataFrame([{"method": m, "gene": "g", "metric": "pcc", "value": v} for m, v in rows])
    gain = tl.RelationAblation("a", genes).gain()
    assert gain.loc["over none", "mean"] == pytest.approx(0.3)
    assert np.isnan(gain.loc["over none", "standard_error"])


def test_settings_are_those_of_the_cross_validation_with_the_relation(ablation):
    settings = ablation.settings
    assert sorted(settings.relations) == ["chain", "coexpression", "protein"]
    assert (settings.n_folds, settings.seed, settings.recipe) == (2, 0, "crossfit")


# ---------------------------------------------------------------- which relations are compared


@pytest.mark.parametrize(
    ("relation", "options", "compared"),
    [
        ("protein", {}, (["chain", "coexpression", "protein"], ["chain", "coexpression"])),
        ("coexpression", {}, (["chain", "coexpression", "protein"], ["chain", "protein"])),
        ("protein", {"relations": ["chain"]}, (["chain", "protein"], ["chain"])),
        ("chain", {"relations": "chain"}, (["chain"], [])),
        ("chain", {"recipe": "paper"}, (["chain"], ["coexpression"])),
        ("chain", {"recipe": PaperRecipe()}, (["chain"], ["coexpression"])),
    ],
)
def test_relations_of_each_method(tissue, monkeypatch, relation, options, compared):
    asked = []

    def spy(spatial, reference, relations, **options):
        asked.append((relations, options["baselines"], options["seed"]))
        assert set(relations) <= set(relation_names(reference))
        genes = pd.DataFrame({"method": tl.MODEL_NAME, "gene": ["a"], "metric": "pcc", "value": 0.5})
        return type("Result", (), {"genes": genes, "settings": relations})

    monkeypatch.setattr(_relation_ablation, "cross_validate", spy)
    ablation = tl.relation_ablation(tissue.spatial, tissue.reference, relation, seed=3, **options)
    assert isinstance(ablation, tl.RelationAblation)
    assert [sorted(names) for names, *_ in asked[:2]] == list(compared)[::-1]
    assert (PERMUTED_COEXPRESSION in asked[2][0]) == (relation == "coexpression")
    assert {(baselines, seed) for _, baselines, seed in asked} == {(False, 3)}
    assert sorted(ablation.settings) == compared[0]


def test_what_cannot_be_compared_is_told_before_training(tissue, monkeypatch):
    monkeypatch.setattr(StImputeModel, "train", lambda self, **kwargs: pytest.fail("trained"))
    with pytest.raises(KeyError, match="no relation 'string'; it has .*chain.*add_protein_embeddings"):
        tl.relation_ablation(tissue.spatial, tissue.reference, "string")
    with pytest.raises(ValueError, match="`n_permutations` is 0; expected at least 1"):
        tl.relation_ablation(tissue.spatial, tissue.reference, n_permutations=0)
    with pytest.raises(ValueError, match='recipe="crossfit"'):
        tl.relation_ablation(tissue.spatial, tissue.reference, "coexpression", recipe="paper")
    with pytest.raises(ValueError, match="'linear' uses no gene relations"):
        tl.relation_ablation(tissue.spatial, tissue.reference, "protein", recipe="linear")


def test_nothing_stays_registered_and_data_of_the_user_do(tissue):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    for adata in (spatial, reference):
        StImputeModel.setup_anndata(adata)
    before = set(StImputeModel._setup_adata_manager_store)
    tl.relation_ablation(spatial, reference, "coexpression", folds=[1], **QUICK)
    assert set(StImputeModel._setup_adata_manager_store) == before
    assert StImputeModel(spatial, reference).relations == ["coexpression", "chain", "protein"]
    StImputeModel.release(spatial, reference)


def test_genes_may_be_named_by_a_column(tissue):
    """With the names in a column of both datasets, the result is the same."""
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    for adata in (spatial, reference):
        adata.var["symbol"] = adata.var_names
        adata.var_names = [f"id{i}" for i in range(adata.n_vars)]
    setup = {"gene_symbols": "symbol"}
    setups = {"spatial_setup": setup, "reference_setup": setup}
    options = {"folds": [0], **QUICK}
    found = tl.relation_ablation(spatial, reference, "coexpression", **options, **setups)
    expected = tl.relation_ablation(tissue.spatial, tissue.reference, "coexpression", **options)
    pd.testing.assert_frame_equal(found.genes, expected.genes)


def test_coexpression_as_the_relation_in_question_comes_first_with_and_without_control():
    tissue = synthetic_tissue(n_cells=40, n_reference=40, n_measured=8, n_unmeasured=4, n_missing_proteins=0)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    recipe, requested = CrossfitRecipe(), ["protein"]
    chosen = _relation_ablation._relations_to_compare(tissue.reference, "coexpression", recipe, requested)
    assert chosen == (["coexpression", "protein"], ["protein"])
