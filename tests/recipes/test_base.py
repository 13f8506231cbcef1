"""What every recipe has: capabilities, hyperparameters, relations, and a name in the registry."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from linear_recipe import LinearRecipe
from small import can

from stimpute.data._arrays import declared_arrays
from stimpute.recipes import (
    RECIPES,
    Capabilities,
    CrossfitRecipe,
    DataSizes,
    LatentSpace,
    OutputOptions,
    PaperRecipe,
    Recipe,
    get_recipe,
    register_recipe,
)

SIZES = DataSizes(n_cells=50, n_reference=60, n_shared=12, relations=("coexpression",))


# ---------------------------------------------------------------- the registry


def test_recipes_are_found_by_name():
    assert get_recipe("crossfit") is CrossfitRecipe
    assert get_recipe("paper") is PaperRecipe
    assert get_recipe("linear") is LinearRecipe
    assert {"crossfit", "linear", "paper"} <= set(RECIPES)


def test_an_unknown_recipe_names_the_known_ones():
    with pytest.raises(ValueError, match=r"`recipe` is 'nowhere'; expected one of \['crossfit', .*'paper'\]"):
        get_recipe("nowhere")


def test_the_list_of_recipes_is_read_only():
    with pytest.raises(TypeError):
        RECIPES["other"] = CrossfitRecipe


def test_a_recipe_can_be_registered_and_replaced(monkeypatch):
    from stimpute.recipes import _registry

    monkeypatch.setattr(_registry, "_registered", {})  # so that the registry is as it was afterwards

    @register_recipe
    class First(LinearRecipe):
        name: ClassVar[str] = "mine"

    assert get_recipe("mine") is First

    @register_recipe
    class Second(LinearRecipe):
        name: ClassVar[str] = "mine"

    assert get_recipe("mine") is Second


# ---------------------------------------------------------------- hyperparameters


def test_a_recipe_is_made_of_plain_hyperparameters(recipe):
    cls = get_recipe(recipe)
    instance = cls()
    assert instance.hyperparameters() == {field.name: field.default for field in dataclasses.fields(cls)}
    assert cls(**instance.hyperparameters()) == instance
    assert hash(instance) == hash(cls())
    with pytest.raises(dataclasses.FrozenInstanceError):
        instance.n_folds = 3


def test_configure_replaces_some_hyperparameters(recipe):
    cls = get_recipe(recipe)
    assert cls.configure({}) == cls()
    assert cls.configure({"n_folds": 3}) == cls(n_folds=3)


def test_configure_passes_over_none(recipe):
    """None keeps the default, also of what the recipe does not have."""
    cls = get_recipe(recipe)
    assert cls.configure({"n_folds": None, "of_another_recipe": None}) == cls()


def test_configure_names_what_is_unknown(recipe):
    with pytest.raises(TypeError, match=rf"recipe '{recipe}' has no hyperparameter \['a', 'b'\]; it has \[.*'n_folds'"):
        get_recipe(recipe).configure({"b": 1, "a": 1, "n_folds": 3})


# ---------------------------------------------------------------- capabilities


def test_a_recipe_can_do_nothing_unless_it_says_so():
    nothing = Capabilities()
    abilities = ("intervals", "variance_matching", "latent_space", "uses_space")
    assert not any(getattr(nothing, ability) for ability in abilities)
    assert nothing.max_relations is None
    assert nothing.reliability_metric == "pcc"


def test_capabilities_are_what_the_recipes_declare():
    crossfit, paper, linear = (get_recipe(name).capabilities for name in ("crossfit", "paper", "linear"))
    assert crossfit.intervals
    assert crossfit.variance_matching
    assert crossfit.uses_space
    assert crossfit.max_relations is None
    assert not paper.intervals
    assert not paper.uses_space
    assert (paper.max_relations, paper.reliability_metric) == (1, "css")
    assert linear.max_relations == 0
    assert crossfit.latent_space
    assert paper.latent_space
    assert not linear.latent_space


def test_a_latent_space_is_there_if_it_is_declared(model, recipe):
    assert isinstance(model.predictor(), LatentSpace) == can(recipe, "latent_space")


def test_spatial_neighbors_are_read_if_it_is_declared(model, recipe):
    assert (model.predictor().n_spatial_neighbors is not None) == can(recipe, "uses_space")


def test_output_that_a_recipe_cannot_give_is_refused(recipe):
    cls = get_recipe(recipe)
    cls.check_output(OutputOptions())
    for options, ability, message in (
        (OutputOptions(interval=0.9), "intervals", r"has no intervals \(`interval=0.9`\)"),
        (OutputOptions(variance="matched"), "variance_matching", r"has no choice of variance \(`variance='matched'`\)"),
    ):
        if can(recipe, ability):
            cls.check_output(options)
        else:
            with pytest.raises(ValueError, match=rf"recipe '{recipe}' {message}.*recipe=\"crossfit\""):
                cls.check_output(options)


def test_both_reasons_are_named():
    options = OutputOptions(interval=0.5, variance="matched")
    with pytest.raises(ValueError, match="no intervals .* and no choice of variance"):
        PaperRecipe.check_output(options)


@pytest.mark.parametrize("interval", [0, 1, -0.5, 2, float("nan")])
def test_an_interval_is_a_probability(interval):
    with pytest.raises(ValueError, match="`interval` is .*between 0 and 1"):
        OutputOptions(interval=interval)


def test_variance_is_one_of_two():
    with pytest.raises(ValueError, match=r'`variance` is \'wide\'; expected "shrunken" or "matched"'):
        OutputOptions(variance="wide")


# ---------------------------------------------------------------- relations

AVAILABLE = ["coexpression", "protein", "string"]


@dataclass(frozen=True)
class TwoRelations(LinearRecipe):
    """A recipe with another limit."""

    capabilities: ClassVar[Capabilities] = Capabilities(max_relations=2)


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (CrossfitRecipe, AVAILABLE),
        (PaperRecipe, ["protein"]),
        (TwoRelations, ["coexpression", "protein"]),
        (LinearRecipe, []),
    ],
)
def test_relations_are_chosen_up_to_the_limit(cls, expected):
    assert cls().choose_relations(AVAILABLE, "auto") == expected


def test_the_paper_uses_expression_where_there_are_no_proteins_and_warns():
    with pytest.warns(UserWarning, match="no protein vectors.*co-expression instead.*add_protein_embeddings"):
        assert PaperRecipe().choose_relations(["coexpression", "string"], "auto") == ["coexpression"]


@pytest.mark.parametrize("cls", [CrossfitRecipe, PaperRecipe, TwoRelations])
def test_relations_may_be_named(cls):
    assert cls().choose_relations(AVAILABLE, "string") == ["string"]
    assert cls().choose_relations(AVAILABLE, ["string"]) == ["string"]
    assert cls().choose_relations(AVAILABLE, ("protein",)) == ["protein"]
    assert cls().choose_relations(AVAILABLE, []) == []


def test_more_relations_than_the_limit_are_refused():
    for cls, names in ((PaperRecipe, AVAILABLE[:2]), (TwoRelations, AVAILABLE), (LinearRecipe, ["protein"])):
        limit = cls.capabilities.max_relations
        with pytest.raises(ValueError, match=rf"at most {limit} gene relation.*found .*{names[-1]}"):
            cls().choose_relations(AVAILABLE, names)


# ---------------------------------------------------------------- networks and what is learned


def test_building_is_determined_by_the_sizes(recipe):
    first, second = (get_recipe(recipe)().build(SIZES) for _ in range(2))
    assert first.keys() == second.keys()
    for name, network in first.items():
        shapes = {key: value.shape for key, value in network.state_dict().items()}
        assert shapes == {key: value.shape for key, value in second[name].state_dict().items()}


def test_everything_that_is_learned_is_declared(model, recipe):
    declared = {entry.name: entry for entry in declared_arrays(get_recipe(recipe).fit_type)}
    assert isinstance(model.fit, get_recipe(recipe).fit_type)
    assert set(model.fit_arrays_) <= set(declared)
    assert all(entry.optional or name in model.fit_arrays_ for name, entry in declared.items())
    for name, value in model.fit_arrays_.items():
        assert value.ndim == len(declared[name].shape.dimensions), name
        assert value.dtype.kind in "fiub", name


def test_what_is_learned_cannot_be_replaced(model):
    name = dataclasses.fields(model.fit)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(model.fit, name, None)


def test_every_shared_gene_is_in_one_fold(model):
    folds = model.predictor().folds
    assert len(folds) == model.recipe.n_folds
    assert len(folds.fold_of_gene) == len(model.shared_genes)
    held_out = np.concatenate([folds.split(fold).held_out for fold in range(len(folds))])
    assert sorted(held_out) == list(range(len(model.shared_genes)))


def test_a_recipe_must_have_its_steps():
    with pytest.raises(TypeError, match="abstract"):
        Recipe()


def test_coexpression_comes_first_in_whatever_order_relations_are_named():
    recipe = get_recipe("crossfit")()
    assert recipe.choose_relations(["coexpression", "protein"], ["protein", "coexpression"]) == [
        "coexpression",
        "protein",
    ]
    assert recipe.choose_relations(["coexpression", "protein"], ["protein"]) == ["protein"]
