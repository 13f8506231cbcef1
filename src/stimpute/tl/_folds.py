"""Split the measured genes into folds, and train models that see all genes but those of one fold."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from stimpute._arguments import check_arguments
from stimpute.data._annotations import read_annotations
from stimpute.data._expression import expression_arguments, read_expression
from stimpute.data._folds import GeneFolds
from stimpute.data._genes import expressed_shared_genes, genes_in_totals
from stimpute.data._join import References, join_references, joined_setup, name_references
from stimpute.data._normalize import log_normalize, median_total
from stimpute.data._relation_store import copy_relations, relation_names
from stimpute.model import StImputeModel
from stimpute.tl._gene_fold import GeneFold, genes_were_reported

Setup = Mapping[str, Any]
Totals = Literal["input", "all"]


def gene_folds(
    spatial: AnnData,
    reference: AnnData | References,
    *,
    n_folds: int = 5,
    seed: int = 0,
    totals: Totals = "input",
    spatial_setup: Setup | None = None,
    reference_setup: Setup | None = None,
) -> list[GeneFold]:
    """Split the genes that both datasets measured into folds.

    Parameters
    ----------
    spatial, reference
        The two datasets; need not be set up, and are not changed. Several references as for
        :class:`stimpute.StImputeModel`.
    n_folds, seed
        Number of folds, and seed of the shuffle.
    totals
        `"input"`: truth and input are scaled by totals over the genes that are not held out. `"all"`: by totals over
        all measured genes, as many publications do. Then the held-out genes leave a trace in the input; this is
        offered for comparison only.
    spatial_setup, reference_setup
        Arguments of :meth:`stimpute.StImputeModel.setup_anndata` for each; of several references by their names. If
        None, those with which the data were set up.

    Returns
    -------
    One :class:`GeneFold` per fold.

    Raises
    ------
    ValueError
        If there are too few shared genes, or `totals` is unknown.

    Examples
    --------
    >>> fold = stimpute.tl.gene_folds(spatial, reference)[0]
    >>> model = stimpute.tl.fit_fold(fold)
    >>> stimpute.tl.score(fold.truth, model.impute(genes=fold.targets).X, fold.targets)
    """
    check_arguments(gene_folds, locals())
    if totals not in ("input", "all"):
        raise ValueError(f'`totals` is {totals!r}; expected "input" or "all".')
    spatial, spatial_setup = minimal_copy(spatial, spatial_setup)
    reference, reference_setup = minimal_copy(*as_one_reference(reference, reference_setup))
    matrix = read_expression(spatial, expression=spatial_setup["expression"])
    reference_matrix = read_expression(reference, expression=reference_setup["expression"])
    names = pd.Index(np.sort(expressed_shared_genes(matrix, reference_matrix)))
    if len(names) < 2 * n_folds:
        raise ValueError(f"{len(names)} shared genes are too few for n_folds={n_folds}; pass `n_folds=` of 2 or more.")
    folds = GeneFolds.draw(len(names), n_folds, seed)
    by_gene = sparse.csc_matrix(matrix.values)
    is_counted = matrix.genes.isin(genes_in_totals(matrix, reference_matrix, names))
    setups = (spatial_setup, reference_setup)
    made = []
    for number in range(len(folds)):
        targets = names[folds.split(number).held_out]
        made.append(_make_fold(number, spatial, by_gene, targets, totals, is_counted, reference, setups))
    return made


def _make_fold(
    number: int,
    spatial: AnnData,
    by_gene: sparse.csc_matrix,
    targets: pd.Index,
    totals: Totals,
    is_counted: np.ndarray,
    reference: AnnData,
    setups: tuple[dict[str, Any], dict[str, Any]],
) -> GeneFold:
    """Remove the targets from the spatial data, and keep them as the truth, scaled as the model scales its input."""
    spatial_setup, reference_setup = setups
    is_target = spatial.var_names.isin(targets)
    inputs = by_gene[:, ~is_target]
    truth = by_gene[:, spatial.var_names.get_indexer(targets)].toarray()
    expression = spatial_setup["expression"]
    if expression == "counts":
        counted = by_gene if totals == "all" else by_gene[:, is_counted & ~is_target]
        total_counts = np.asarray(counted.sum(1)).ravel()
        target_sum = median_total(total_counts)
        truth = log_normalize(truth, total_counts, target_sum)
        if totals == "all":
            inputs = sparse.csr_matrix(log_normalize(inputs.toarray(), total_counts, target_sum))
            expression = "normalized"
    without = AnnData(inputs.tocsr(), obs=spatial.obs, var=spatial.var[~is_target], obsm=dict(spatial.obsm))
    setup = {**spatial_setup, "expression": expression}
    return GeneFold(number, without, reference, list(targets), truth, setup, reference_setup)


def fit_fold(fold: GeneFold, *, train_kwargs: Setup | None = None, **model_kwargs: Any) -> StImputeModel:
    """Train a model on what a fold may see.

    Nothing is left in scvi-tools' memory of the session: the data are freed with the model and the fold.

    Parameters
    ----------
    fold
        From :func:`gene_folds`.
    train_kwargs
        Arguments of :meth:`stimpute.StImputeModel.train`.
    model_kwargs
        Arguments of :class:`stimpute.StImputeModel`, such as `recipe`.

    Returns
    -------
    The trained model; `model.impute(genes=fold.targets)` predicts the held-out genes.
    """
    check_arguments(fit_fold, locals())
    try:
        StImputeModel.setup_anndata(fold.spatial, **fold.spatial_setup)
        StImputeModel.setup_anndata(fold.reference, **fold.reference_setup)
        with genes_were_reported():
            model = StImputeModel(fold.spatial, fold.reference, **model_kwargs)
        model.train(**(train_kwargs or {}))
    finally:
        StImputeModel.release(fold.spatial, fold.reference)
    return model


@contextlib.contextmanager
def cells_were_reported() -> Iterator[None]:
    """Ignore warnings on cells, which are much the same in every fold and were given in the first one."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", ".*have no count of any gene|.*without the positions of the cells", UserWarning
        )
        yield


def as_one_reference(reference: AnnData | References, setup: Setup | None) -> tuple[AnnData, Setup | None]:
    """Join several references and return the setup of the result; return one reference as it is."""
    if isinstance(reference, AnnData):
        return reference, setup
    setups = setup_of(reference, setup)
    return join_references(reference, setups), joined_setup(setups)


def setup_of(data: AnnData | References, given: Setup | None) -> dict[str, Any]:
    """Return the given arguments of `setup_anndata`, or those with which the data were set up.

    Those of several references are by their names; of each that is not given, it is what the reference was set up with.
    """
    if not isinstance(data, AnnData):
        named = name_references(data)
        known = {name: expression_arguments(StImputeModel.registered_setup(adata)) for name, adata in named.items()}
        return {**known, **(given or {})}
    return StImputeModel.registered_setup(data) if given is None else dict(given)


def minimal_copy(adata: AnnData, setup: Setup | None) -> tuple[AnnData, dict[str, Any]]:
    """Copy what a model reads of an AnnData, with genes named as they are matched.

    Returns
    -------
    The copy, whose expression is in `X`, and the arguments of `setup_anndata` for it.
    """
    setup = {"expression": "counts", **setup_of(adata, setup)}
    adata = read_annotations(adata)
    matrix = read_expression(adata, **expression_arguments(setup))
    copy = AnnData(matrix.values, obs=adata.obs.copy(), var=adata.var.copy(), obsm=dict(adata.obsm))
    copy.var_names = matrix.genes
    copy_relations(adata, copy, relation_names(adata))
    rest = {name: value for name, value in setup.items() if name not in ("layer", "gene_symbols")}
    return copy, rest
