"""Is a relation between genes worth more than a random one? Ask the same cells, folds and seeds three times."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from stimpute.data._relations import COEXPRESSION, Coexpression
from stimpute.model import StImputeModel
from stimpute.model._setup import read_bank
from stimpute.recipes import RECIPES
from stimpute.tl._cross_validate import MODEL, cross_validate
from stimpute.tl._folds import light_copy
from stimpute.tl._score import LOWER_IS_BETTER, summarise

SHUFFLED = "permuted_coexpression"


@dataclass(frozen=True)
class GraphControl:
    """Accuracy without a gene relation, with it, and with its genes permuted.

    Attributes
    ----------
    relation
        Name of the relation.
    genes
        Tidy: `method`, `gene`, `metric`, `value`. The methods are `"without <relation>"`, `"<relation>"` and
        `"<relation>, permuted <number>"`.
    """

    relation: str
    genes: pd.DataFrame

    @property
    def without(self) -> str:
        """Name of the method that does not use the relation."""
        return f"without {self.relation}"

    @property
    def summary(self) -> pd.DataFrame:
        """Mean of every metric over genes, methods in rows."""
        return summarise(self.genes)

    def gain(self, metric: str = "pcc") -> pd.DataFrame:
        """What the relation adds, gene by gene; positive is better, whatever the metric.

        Parameters
        ----------
        metric
            One of those in `genes`.

        Returns
        -------
        Rows `"over none"` and `"over permuted"` (the mean of the permutations); columns `mean`, its `standard_error`
        over genes, `share_better` and `n_genes`. A relation helps by what it says if it is ahead of both.

        Raises
        ------
        KeyError
            If there is no such metric.
        """
        known = list(self.genes["metric"].unique())
        if metric not in known:
            raise KeyError(f"metric={metric!r} was not computed, found {known}.")
        table = self.genes[self.genes["metric"] == metric].pivot(index="gene", columns="method", values="value")
        permuted = table.drop(columns=[self.without, self.relation]).mean(axis=1)
        sign = -1 if metric in LOWER_IS_BETTER else 1
        gains = {
            "over none": table[self.relation] - table[self.without],
            "over permuted": table[self.relation] - permuted,
        }
        return pd.DataFrame({name: _describe(sign * gain.to_numpy()) for name, gain in gains.items()}).T


def graph_control(
    spatial: ad.AnnData,
    reference: ad.AnnData,
    relation: str = "protein",
    *,
    n_permutations: int = 1,
    seed: int = 0,
    **cross_validate_kwargs: Any,
) -> GraphControl:
    """Cross-validate without a relation, with it, and with its genes permuted.

    A permuted relation has the same numbers at the wrong genes. If it does as well as the true one, what helped was
    another input, or nothing, but not what the relation says of genes. Vectors are permuted among the genes that have
    one, edges on both axes among the genes that have an edge, co-expression (without what a recipe derives from it)
    among all genes. Everything else - folds, cells, seeds, other relations - stays the same.

    Parameters
    ----------
    spatial, reference
        The two datasets, see :func:`cross_validate`; not changed.
    relation
        Name of a relation of the reference: see :func:`stimpute.pp.protein_graph`, :func:`stimpute.pp.add_relation`.
    n_permutations
        How many permutations. Each costs as much as one cross-validation.
    seed
        Seed of the permutations, the folds and training.
    cross_validate_kwargs
        For :func:`cross_validate`: `recipe`, `n_folds`, `relations`, `train_kwargs`, ...

    Returns
    -------
    :class:`GraphControl`.

    Raises
    ------
    KeyError
        If the reference has no such relation.
    ValueError
        If there is nothing to permute or to compare with.

    Examples
    --------
    >>> control = stimpute.tl.graph_control(spatial, reference, "protein")
    >>> control.gain()
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations={n_permutations}: expected at least 1, or there is no control.")
    setup = dict(cross_validate_kwargs.pop("reference_setup", None) or {})
    recipe = cross_validate_kwargs.get("recipe", "crossfit")
    with_it, without = _arms(reference, relation, recipe, cross_validate_kwargs.pop("relations", "auto"))
    light = light_copy(reference, setup)
    symbols = cross_validate_kwargs.get("gene_symbols")
    names_seen = spatial.var_names if symbols is None else pd.Index(spatial.var[symbols].astype(str))
    shared = np.flatnonzero(light.var_names.isin(names_seen))

    arms = {f"without {relation}": (light, without), relation: (light, with_it)}
    for number in range(n_permutations):
        rng = np.random.default_rng([seed, number])
        names = [SHUFFLED if relation == name == COEXPRESSION else name for name in with_it]
        permuted = _permuted(light, relation, shared, rng, setup, centred=recipe != "paper")
        arms[f"{relation}, permuted {number + 1}"] = (permuted, names)

    options = {"baselines": False, **cross_validate_kwargs, "reference_setup": setup, "seed": seed}
    tables = []
    for method, (data, relations) in arms.items():
        scores = cross_validate(spatial, data, relations=relations, **options).genes
        tables.append(scores[scores["method"] == MODEL].assign(method=method))
    return GraphControl(relation, pd.concat(tables, ignore_index=True))


def _arms(reference: ad.AnnData, relation: str, recipe: str, chosen: Any) -> tuple[list[str], list[str]]:
    """Names of the relations to use with, and without, the one in question."""
    available = sorted({COEXPRESSION, *_records(reference)})
    if relation not in available:
        raise KeyError(
            f"The reference has no relation {relation!r}; it has {available}. Call "
            '`stimpute.pp.protein_graph(reference, "proteins.npz")` or `stimpute.pp.add_relation(...)` first.'
        )
    if recipe == "paper" and relation == COEXPRESSION:
        raise ValueError(
            "The recipe 'paper' uses one relation, and without co-expression none is left to compare with. Name "
            'another relation, or pass recipe="crossfit".'
        )
    if recipe == "paper":
        return [relation], [COEXPRESSION]
    names = RECIPES[recipe].configure({}).relation_names(available, chosen) if recipe in RECIPES else available
    with_it = names if relation in names else [*names, relation]
    return with_it, [name for name in with_it if name != relation]


def _records(reference: ad.AnnData) -> dict[str, Any]:
    return reference.uns.get("stimpute", {}).get("relations", {})


def _permuted(
    light: ad.AnnData,
    relation: str,
    shared: np.ndarray,
    rng: np.random.Generator,
    setup: dict[str, Any],
    *,
    centred: bool,
) -> ad.AnnData:
    """The reference with the genes of one relation permuted; nothing of the given one is changed."""
    data = light_copy(light, {})
    data.uns = deepcopy(dict(data.uns))
    if relation == COEXPRESSION:
        return _permute_coexpression(data, shared, rng, setup, centred)
    record = _records(data)[relation]
    graph = sparse.csr_matrix(data.varp[record["varp"]])
    if record["kind"] == "vectors":
        has_one = data.var[record.get("known", "has_protein")].to_numpy(dtype=bool)
    else:
        has_one = np.asarray(graph.sum(0)).ravel() + np.asarray(graph.sum(1)).ravel() > 0
    order = np.arange(data.n_vars)
    order[has_one] = rng.permutation(order[has_one])
    data.varp[record["varp"]] = graph[order][:, order]
    if record["kind"] == "vectors":
        data.varm[record["varm"]] = np.asarray(data.varm[record["varm"]])[order]
    return data


def _permute_coexpression(
    data: ad.AnnData, shared: np.ndarray, rng: np.random.Generator, setup: dict[str, Any], centred: bool
) -> ad.AnnData:
    """Add a relation that holds, for the shared genes, the co-expression of other genes than it says."""
    registered = data.copy()
    StImputeModel.setup_anndata(registered, **setup)
    bank = read_bank(StImputeModel._get_most_recent_anndata_manager(registered, required=True))
    other = rng.permutation(bank.n_genes)[shared]
    similarity = sparse.coo_matrix(Coexpression(bank, other, centred).similarity(other))
    edges = (similarity.data, (shared[similarity.row], shared[similarity.col]))
    data.varp[SHUFFLED] = sparse.csr_matrix(edges, shape=(data.n_vars, data.n_vars))
    data.uns.setdefault("stimpute", {}).setdefault("relations", {})[SHUFFLED] = {"kind": "edges", "varp": SHUFFLED}
    return data


def _describe(gain: np.ndarray) -> pd.Series:
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
    return pd.Series(
        {"mean": gain.mean(), "standard_error": error, "share_better": (gain > 0).mean(), "n_genes": len(gain)}
    )
