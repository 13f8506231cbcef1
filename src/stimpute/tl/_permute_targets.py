"""Permute what the reference says about held-out genes: how much accuracy needs no reference at all?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from anndata import AnnData
from scipy import sparse

from stimpute._arguments import check_arguments
from stimpute.data._expression import read_expression
from stimpute.data._reference import ReferenceExpression
from stimpute.data._relation_store import copy_relations, relation_names
from stimpute.model._setup import read_datasets
from stimpute.tl._gene_fold import GeneFold


def permute_targets(fold: GeneFold, *, seed: int = 0) -> GeneFold:
    """Permute the reference values of the held-out genes over the reference cells.

    A held-out gene keeps its values, so that its mean and variance in the reference stay the same, but they are at
    random cells. It keeps its relations to other genes, except co-expression. A prediction that still correlates with
    the truth uses what all genes of a cell have in common, such as the depth of the cell, and says nothing about the
    gene. The values are log-normalized before, so that all other genes stay the same.

    Parameters
    ----------
    fold
        From :func:`gene_folds`; not changed.
    seed
        Seed of the permutation. Of several references, each is permuted by itself.

    Returns
    -------
    The fold with another reference.

    Examples
    --------
    >>> folds = stimpute.tl.gene_folds(spatial, reference)
    >>> model = stimpute.tl.fit_fold(stimpute.tl.permute_targets(folds[0]))
    """
    check_arguments(permute_targets, locals())
    rng = np.random.default_rng([seed, fold.number])
    matrix = read_expression(fold.reference, expression=fold.reference_setup["expression"])
    numbers, _ = read_datasets(fold.reference, fold.reference_setup.get("dataset_key"))
    expression = ReferenceExpression(matrix, numbers)
    targets = expression.genes.get_indexer(fold.targets)
    others = np.setdiff1d(np.arange(expression.n_genes), targets)
    order = np.argsort(np.concatenate([others, targets]))
    by_dataset = []
    for dataset in expression.datasets:
        permuted = sparse.csr_matrix(rng.permuted(dataset.dense(targets), axis=0).T)
        by_dataset.append(sparse.vstack([dataset.by_gene[others], permuted]).tocsr()[order].T)
    x = sparse.csr_matrix(sparse.vstack(by_dataset))
    if len(expression.rows) > 1:
        x = x[np.argsort(np.concatenate(expression.rows))]
    reference = AnnData(x, obs=fold.reference.obs.copy(), var=fold.reference.var.copy())
    copy_relations(fold.reference, reference, relation_names(fold.reference))
    return replace(fold, reference=reference, reference_setup={**fold.reference_setup, "expression": "normalized"})
