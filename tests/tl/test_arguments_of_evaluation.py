"""Every public argument of the evaluation changes something."""

import inspect

import numpy as np
import pandas as pd
import pytest

from stimpute import pp, tl
from stimpute.data._annotations import layers_by_name
from stimpute.datasets import synthetic_tissue
from stimpute.train import _trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*have no count of any gene shared")

TRAIN = {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False}
QUICK = {"n_steps": 20, "n_metacells": 20, "train_kwargs": TRAIN}  # two epochs, of which one is run
OTHER_LAYER = {"layer": "other"}
OTHER_TRAIN = TRAIN | {"max_epochs": 2}


@pytest.fixture(scope="module")
def pair():
    """A pair with two relations and another layer of counts in each dataset."""
    tissue = synthetic_tissue(n_cells=70, n_reference=60, n_measured=14, n_unmeasured=3, n_missing_proteins=2)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    genes = list(tissue.reference.var_names)
    pp.add_gene_network(tissue.reference, pd.DataFrame({"a": genes[:8], "b": genes[3:11]}), "net")
    for adata in (tissue.spatial, tissue.reference):
        other = adata.X.copy()
        other.data += np.arange(len(other.data)) % 3
        adata.layers["other"] = other
    return tissue.spatial, tissue.reference


def keyword_arguments(function) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}


def is_same(a, b) -> bool:
    """Compare results, or parts of them, by value."""
    if isinstance(a, pd.DataFrame):
        return a.equals(b)
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and bool((a == b).all())


# ---------------------------------------------------------------- cross_validate


def of_model(result):
    return result.predicted.layers[tl.MODEL_NAME]


def layers(result):
    return sorted(layers_by_name(result.predicted))


def truth(result):
    return result.predicted.X


def noise(fold):
    return np.random.default_rng(0).random(fold.truth.shape)


BASE = {"n_folds": 2, "folds": [0], "progress": False, **QUICK}
CROSS_VALIDATE = {
    "n_folds": (3, lambda result: list(result.predicted.var_names)),
    "folds": ([1], lambda result: list(result.predicted.var_names)),
    "seed": (1, lambda result: list(result.predicted.var_names)),
    "totals": ("all", truth),
    "spatial_setup": (OTHER_LAYER, truth),
    "reference_setup": (OTHER_LAYER, lambda result: result.predicted.layers["kNN"]),
    "train_kwargs": (OTHER_TRAIN, of_model),
    "interval": (0.5, layers),
    "methods": ({"noise": noise}, layers),
    "baselines": (False, layers),
    "null": (True, layers),
    "groupby": ("cell_type", lambda result: result.groups is None),
    # arguments of the model
    "recipe": ("linear", of_model),
    "relations": (["net"], of_model),
    "n_latent": (2, of_model),
}


@pytest.fixture(scope="module")
def cross_validation(pair):
    return tl.cross_validate(*pair, **BASE)


def test_all_arguments_of_cross_validate_are_tested():
    assert keyword_arguments(tl.cross_validate) <= set(CROSS_VALIDATE) | {"progress"}


@pytest.mark.parametrize("name", CROSS_VALIDATE)
@pytest.mark.slow
def test_an_argument_of_cross_validate_changes_something(pair, cross_validation, name):
    value, part = CROSS_VALIDATE[name]
    options = BASE | {name: value}
    if name == "recipe":
        options = {key: value for key, value in options.items() if key not in ("n_steps", "n_metacells")}
    assert not is_same(part(tl.cross_validate(*pair, **options)), part(cross_validation))


def test_the_same_arguments_give_the_same_result(pair, cross_validation):
    again = tl.cross_validate(*pair, **BASE)
    assert is_same(of_model(again), of_model(cross_validation))
    assert is_same(again.genes, cross_validation.genes)


def test_the_seed_changes_training_too(pair, cross_validation):
    """With the folds of seed 0 and another seed of training."""
    again = tl.cross_validate(*pair, **BASE | {"train_kwargs": TRAIN | {"seed": 1}})
    assert is_same(truth(again), truth(cross_validation))
    assert not is_same(of_model(again), of_model(cross_validation))


@pytest.mark.parametrize("progress", [True, False])
def test_progress_bars_are_drawn_on_request(pair, progress, capsys, monkeypatch):
    monkeypatch.setattr(_trainer, "can_draw_progress", lambda: True)  # as on a terminal
    train = {name: value for name, value in TRAIN.items() if name != "enable_progress_bar"}
    tl.cross_validate(*pair, **BASE | {"progress": progress, "train_kwargs": train, "baselines": False})
    assert ("masked genes" in "".join(capsys.readouterr())) == progress


# ---------------------------------------------------------------- gene_folds and fit_fold

GENE_FOLDS = {
    "n_folds": (3, lambda folds: len(folds)),
    "seed": (1, lambda folds: folds[0].targets),
    "totals": ("all", lambda folds: folds[0].truth),
    "spatial_setup": (OTHER_LAYER, lambda folds: folds[0].truth),
    "reference_setup": (OTHER_LAYER, lambda folds: folds[0].dense.targets),
}


def test_all_arguments_of_gene_folds_are_tested():
    assert keyword_arguments(tl.gene_folds) == set(GENE_FOLDS)


@pytest.mark.parametrize("name", GENE_FOLDS)
def test_an_argument_of_gene_folds_changes_something(pair, name):
    value, part = GENE_FOLDS[name]
    found = part(tl.gene_folds(*pair, **{"n_folds": 2, name: value}))
    assert not is_same(found, part(tl.gene_folds(*pair, n_folds=2)))


FIT_FOLD = {"train_kwargs": OTHER_TRAIN, "recipe": "linear", "relations": ["protein"], "n_latent": 2}


def test_all_arguments_of_fit_fold_are_tested():
    assert keyword_arguments(tl.fit_fold) <= set(FIT_FOLD)


@pytest.mark.parametrize("name", FIT_FOLD)
@pytest.mark.slow
def test_an_argument_of_fit_fold_changes_the_predictions(pair, name):
    fold = tl.gene_folds(*pair, n_folds=2)[0]
    options = QUICK | {name: FIT_FOLD[name]}
    if name == "recipe":
        options = {"recipe": "linear", "train_kwargs": TRAIN}
    models = [tl.fit_fold(fold, **QUICK), tl.fit_fold(fold, **options)]
    first, second = (model.impute(genes=fold.targets, progress=False).X for model in models)
    assert not is_same(first, second)


# ---------------------------------------------------------------- relation_ablation


def by_gene(ablation):
    return ablation.genes.query("metric == 'pcc'").drop(columns="method").set_index("gene")


RELATION_ABLATION = {
    "relation": ("net", lambda ablation: list(ablation.summary.index)),
    "n_permutations": (2, lambda ablation: len(ablation.summary)),
    "seed": (1, lambda ablation: list(ablation.genes["gene"])),
    "relations": (["protein"], lambda ablation: by_gene(ablation)),  # one of cross_validate_kwargs
}


@pytest.fixture(scope="module")
def ablation(pair):
    return tl.relation_ablation(*pair, **BASE)


def test_all_arguments_of_relation_ablation_are_tested():
    assert keyword_arguments(tl.relation_ablation) == {"n_permutations", "seed"}


@pytest.mark.parametrize("name", RELATION_ABLATION)
@pytest.mark.slow
def test_an_argument_of_relation_ablation_changes_something(pair, ablation, name):
    value, part = RELATION_ABLATION[name]
    assert not is_same(part(tl.relation_ablation(*pair, **BASE | {name: value})), part(ablation))


# ---------------------------------------------------------------- impute

IMPUTE = {
    "interval": (0.5, lambda imputed: sorted(layers_by_name(imputed))),
    "spatial_setup": (OTHER_LAYER, lambda imputed: imputed.X),
    "reference_setup": (OTHER_LAYER, lambda imputed: imputed.X),
    "train_kwargs": (OTHER_TRAIN, lambda imputed: imputed.X),
    "genes": ("Gene00", lambda imputed: list(imputed.var_names)),
    "relations": (["protein"], lambda imputed: imputed.X),
    "n_latent": (2, lambda imputed: imputed.X),
}


def impute(pair, **options):
    spatial, reference = (adata.copy() for adata in pair)
    return tl.impute(spatial, reference, **{"progress": False, **QUICK, **options})


@pytest.fixture(scope="module")
def imputed(pair):
    return impute(pair)


def test_all_arguments_of_impute_are_tested():
    assert keyword_arguments(tl.impute) <= set(IMPUTE) | {"progress"}


@pytest.mark.parametrize("name", IMPUTE)
@pytest.mark.slow
def test_an_argument_of_impute_changes_something(pair, imputed, name):
    value, part = IMPUTE[name]
    assert not is_same(part(impute(pair, **{name: value})), part(imputed))


def test_the_method_of_impute_changes_the_values(pair, imputed):
    spatial, reference = (adata.copy() for adata in pair)
    found = [imputed.X]
    for method in ("knn", "linear"):
        found.append(tl.impute(spatial, reference, method=method, progress=False).X)
    assert not is_same(found[0], found[1])
    assert not is_same(found[1], found[2])


@pytest.mark.parametrize("name", ["spatial_setup", "reference_setup"])
def test_the_setup_changes_the_mean_of_neighbors(pair, name):
    first = tl.impute(*pair, method="knn").X
    assert not is_same(tl.impute(*pair, method="knn", **{name: OTHER_LAYER}).X, first)


@pytest.mark.parametrize("progress", [True, False])
def test_impute_draws_progress_bars_on_request(pair, progress, capsys, monkeypatch):
    monkeypatch.setattr(_trainer, "can_draw_progress", lambda: True)  # as on a terminal
    train = {name: value for name, value in TRAIN.items() if name != "enable_progress_bar"}
    impute(pair, progress=progress, train_kwargs=train)
    assert ("masked genes" in "".join(capsys.readouterr())) == progress
