"""Test whether a gene relation helps: cross-validate without it, with it, and with its genes permuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import check_count
from stimpute.data._expression import read_gene_names
from stimpute.data._join import References
from stimpute.data._relation_store import ADVICE, COEXPRESSION, relation_names
from stimpute.recipes import Recipe, get_recipe
from stimpute.tl._cross_validate import cross_validate
from stimpute.tl._cross_validation import MODEL_NAME, CrossValidationSettings
from stimpute.tl._folds import as_one_reference, minimal_copy, setup_of
from stimpute.tl._permute_relation import PERMUTED_COEXPRESSION, permute_relation
from stimpute.tl._score import LOWER_IS_BETTER, summarize


@dataclass(frozen=True)
class RelationAblation:
    """Accuracy without a gene relation, with it, and with its genes permuted.

    Attributes
    ----------
    relation
        Name of the relation.
    genes
        Tidy: `method`, `gene`, `metric`, `value`. The methods are `"without <relation>"`, `"<relation>"` and
        `"<relation>, permuted <number>"`.
    settings
        How the cross-validation with the relation was made.
    """

    relation: str
    genes: pd.DataFrame
    settings: CrossValidationSettings | None = None

    @property
    def without(self) -> str:
        """Name of the method that does not use the relation."""
        return f"without {self.relation}"

    @property
    def summary(self) -> pd.DataFrame:
        """Mean of every metric over genes, one row per method."""
        return summarize(self.genes)

    def gain(self, metric: str = "pcc") -> pd.DataFrame:
        """Compute what the relation adds, gene by gene; positive is better for every metric.

        Parameters
        ----------
        metric
            One of those in `genes`.

        Returns
        -------
        Rows `"over none"` and `"over permuted"` (the mean of the permutations); columns `mean`, its `standard_error`
        over genes, `share_better` and `n_genes`. The content of a relation helps only if both rows are positive.

        Raises
        ------
        KeyError
            If there is no such metric.
        """
        computed = list(self.genes["metric"].unique())
        if metric not in computed:
            raise KeyError(f"metric={metric!r} was not computed, found {computed}.")
        chosen = self.genes[self.genes["metric"] == metric]
        table = chosen.pivot(index="gene", columns="method", values="value")
        permuted = table.drop(columns=[self.without, self.relation]).mean(axis=1)
        sign = -1 if metric in LOWER_IS_BETTER else 1
        gains = {
            "over none": sign * (table[self.relation] - table[self.without]),
            "over permuted": sign * (table[self.relation] - permuted),
        }
        return pd.DataFrame({name: _describe(gain.to_numpy()) for name, gain in gains.items()}).T


def relation_ablation(
    spatial: AnnData,
    reference: AnnData | References,
    relation: str = "protein",
    *,
    n_permutations: int = 1,
    seed: int = 0,
    **cross_validate_kwargs: Any,
) -> RelationAblation:
    """Cross-validate without a relation, with it, and with its genes permuted.

    A permuted relation has the same numbers at the wrong genes. If it does as well as the true one, the gain does not
    come from what the relation says about genes. Vectors are permuted among the genes that have one, edges on both
    axes among the genes that have an edge, co-expression (without the features that a recipe derives from it) among
    all genes. Everything else - folds, cells, seeds, other relations - stays the same.

    Parameters
    ----------
    spatial, reference
        The two datasets, see :func:`cross_validate`; not changed.
    relation
        Name of a relation of the reference: see :func:`stimpute.pp.add_protein_embeddings`,
        :func:`stimpute.pp.add_gene_network`.
    n_permutations
        Number of permutations. Each costs as much as one cross-validation.
    seed
        Seed of the permutations, the folds and training.
    cross_validate_kwargs
        For :func:`cross_validate`: `recipe`, `n_folds`, `relations`, `train_kwargs`, ...

    Returns
    -------
    :class:`RelationAblation`.

    Raises
    ------
    KeyError
        If the reference has no such relation.
    ValueError
        If there is nothing to permute or to compare with.

    Examples
    --------
    >>> ablation = stimpute.tl.relation_ablation(spatial, reference, "protein")
    >>> ablation.gain()
    """
    check_arguments(relation_ablation, locals())
    check_count(1, n_permutations=n_permutations)
    recipe = cross_validate_kwargs.get("recipe", "crossfit")
    if not isinstance(recipe, Recipe):
        recipe = get_recipe(recipe).configure({})
    requested = cross_validate_kwargs.pop("relations", "auto")
    reference, setup = as_one_reference(reference, cross_validate_kwargs.pop("reference_setup", None))
    with_it, without = _relations_to_compare(reference, relation, recipe, requested)
    copy, setup = minimal_copy(reference, setup)
    spatial_setup = setup_of(spatial, cross_validate_kwargs.get("spatial_setup"))
    measured = read_gene_names(spatial, spatial_setup.get("gene_symbols"))
    shared = np.flatnonzero(copy.var_names.isin(measured))

    compared: dict[str, tuple[AnnData, list[str]]] = {f"without {relation}": (copy, without), relation: (copy, with_it)}
    for number in range(n_permutations):
        rng = np.random.default_rng([seed, number])
        names = [PERMUTED_COEXPRESSION if relation == name == COEXPRESSION else name for name in with_it]
        permuted = permute_relation(copy, relation, shared, rng, setup, centered=recipe.capabilities.centers_vectors)
        compared[f"{relation}, permuted {number + 1}"] = (permuted, names)

    options = {"baselines": False, **cross_validate_kwargs, "reference_setup": setup, "seed": seed}
    tables = []
    settings = None
    for method, (data, relations) in compared.items():
        result = cross_validate(spatial, data, relations=relations, **options)
        tables.append(result.genes[result.genes["method"] == MODEL_NAME].assign(method=method))
        if method == relation:
            settings = result.settings
    return RelationAblation(relation, pd.concat(tables, ignore_index=True), settings)


def _relations_to_compare(
    reference: AnnData, relation: str, recipe: Recipe, requested: str | Sequence[str]
) -> tuple[list[str], list[str]]:
    """Name the relations to use with, and without, the one in question."""
    available = relation_names(reference)
    if relation not in available:
        raise KeyError(f"The reference has no relation {relation!r}; it has {available}. {ADVICE}")
    limit = recipe.capabilities.max_relations
    if limit == 0:
        raise ValueError(f"The recipe {recipe.name!r} uses no gene relations, so that there is nothing to compare.")
    if limit == 1:
        if relation == COEXPRESSION:
            raise ValueError(
                f"The recipe {recipe.name!r} uses one relation, and without co-expression none is left to compare "
                'with. Name another relation, or pass `recipe="crossfit"`.'
            )
        return [relation], [COEXPRESSION]
    names = recipe.choose_relations(available, requested)
    with_it = names if relation in names else recipe.choose_relations(available, [*names, relation])
    return with_it, [name for name in with_it if name != relation]


def _describe(gain: np.ndarray) -> pd.Series:
    """Summarize differences over genes."""
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
    return pd.Series(
        {"mean": gain.mean(), "standard_error": error, "share_better": (gain > 0).mean(), "n_genes": len(gain)}
    )
