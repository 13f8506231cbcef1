"""Test what each reference is worth: cross-validate with all, without each, and with each alone."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from anndata import AnnData

from stimpute._arguments import check_arguments
from stimpute._messages import check_type
from stimpute.data._join import DATASET_KEY, References, name_references
from stimpute.tl._cross_validate import CrossValidation, cross_validate
from stimpute.tl._folds import fit_fold
from stimpute.tl._gene_fold import GeneFold


def reference_ablation(
    spatial: AnnData,
    references: References,
    *,
    seed: int = 0,
    train_kwargs: dict[str, Any] | None = None,
    progress: bool = True,
    **cross_validate_kwargs: Any,
) -> CrossValidation:
    """Cross-validate with all references, without each of them, and with each alone.

    All of them predict the same held-out genes. A gene that none of the references in use has is predicted as 0.

    Parameters
    ----------
    spatial
        The spatial data.
    references
        Two or more references, by name or as a list; not changed.
    seed
        Seed of the folds and of training.
    train_kwargs, progress, cross_validate_kwargs
        See :func:`cross_validate`.

    Returns
    -------
    :class:`CrossValidation`. Beside `"stimpute"` (all references) and the baselines, which use the first reference,
    the methods are `"without <name>"` and, for three or more references, `"only <name>"`.

    Raises
    ------
    ValueError
        If there are fewer than two references.

    Examples
    --------
    >>> result = stimpute.tl.reference_ablation(spatial, {"cortex": cortex, "glia": glia})
    >>> result.summary
    """
    check_arguments(reference_ablation, locals())
    check_type(AnnData, "Read files with `anndata.read_h5ad`.", spatial=spatial)
    names = list(name_references(references))
    if len(names) < 2:
        raise ValueError(f"Found the references {names}; expected two or more to compare.")
    train = {"enable_progress_bar": progress, "seed": seed, **(train_kwargs or {})}
    chosen = {f"without {name}": [other for other in names if other != name] for name in names}
    if len(names) > 2:
        chosen |= {f"only {name}": [name] for name in names}
    known = inspect.signature(cross_validate).parameters
    model_kwargs = {key: value for key, value in cross_validate_kwargs.items() if key not in known}
    methods = {method: _predict_with(kept, train, model_kwargs) for method, kept in chosen.items()}
    methods |= cross_validate_kwargs.pop("methods", None) or {}
    return cross_validate(
        spatial,
        references,
        seed=seed,
        train_kwargs=train_kwargs,
        progress=progress,
        methods=methods,
        **cross_validate_kwargs,
    )


def _predict_with(
    names: list[str], train_kwargs: dict[str, Any], model_kwargs: dict[str, Any]
) -> Callable[[GeneFold], np.ndarray]:
    """Return a method that knows some of the references."""

    def predict(fold: GeneFold) -> np.ndarray:
        kept = fold.reference[fold.reference.obs[DATASET_KEY].isin(names)].copy()
        has_gene = np.asarray(kept.X.sum(0)).ravel()[kept.var_names.get_indexer(fold.targets)] > 0
        model = fit_fold(dataclasses.replace(fold, reference=kept), train_kwargs=train_kwargs, **model_kwargs)
        predicted = np.zeros(fold.truth.shape, np.float32)
        if has_gene.any():
            genes = [gene for gene, known in zip(fold.targets, has_gene, strict=True) if known]
            predicted[:, has_gene] = model.impute(genes=genes, progress=False).X
        return predicted

    return predict
