"""What a report may be about, told apart by type."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from stimpute.model import StImputeModel
from stimpute.model._cells import UNTRAINED
from stimpute.model._setup import gene_names
from stimpute.tl import CrossValidation, GraphControl

GENES_PER_CHUNK = 256


@dataclass(frozen=True)
class Results:
    """One of each kind, or None.

    Attributes
    ----------
    model, imputed, validation, control
        What the report is about.
    n_maps
        Maps of the most reliable genes, and as many of the least.
    interval
        Probability that the intervals of the cross-validation were asked for.
    """

    model: StImputeModel | None = None
    imputed: ad.AnnData | None = None
    validation: CrossValidation | None = None
    control: GraphControl | None = None
    n_maps: int = 3
    interval: float = 0.9

    @classmethod
    def sort(cls, results: tuple[Any, ...], **options: Any) -> Results:
        """Give each result its place.

        Raises
        ------
        TypeError
            If a result is of another type, or two are of one.
        ValueError
            If there is none.
        """
        kinds: dict[str, type] = {
            "model": StImputeModel,
            "imputed": ad.AnnData,
            "validation": CrossValidation,
            "control": GraphControl,
        }
        found: dict[str, Any] = {}
        for result in results:
            name = next((name for name, kind in kinds.items() if isinstance(result, kind)), None)
            if name is None or name in found:
                expected = ", ".join(kind.__name__ for kind in kinds.values())
                raise TypeError(f"Found a {type(result).__name__}; expected at most one of each: {expected}.")
            found[name] = result
        if not found:
            raise ValueError("Nothing to report on. Pass a trained model, `tl.cross_validate(...)`, or both.")
        if "model" in found:
            found["model"]._check_if_trained(warn=False, message=UNTRAINED)
        return cls(**found, **options)

    @cached_property
    def complete(self) -> bool:
        """Whether the model has both datasets, so that it can impute."""
        return self.model is not None and self.model.adata is not None and self.model._reference is not None

    @cached_property
    def unmeasured(self) -> pd.DataFrame:
        """What is known of every gene that only the reference has, most reliable first."""
        known = self.drawn
        if "measured" in known:
            known = known[~known["measured"].to_numpy(bool)]
        if self.complete and len(unmeasured_genes(self.model)) > len(known):
            known = describe_unmeasured(self.model)
        return known.sort_values("reliability", ascending=False, kind="stable")

    @cached_property
    def drawn(self) -> pd.DataFrame:
        """What is known of the genes that were imputed, most reliable first."""
        var = pd.DataFrame() if self.imputed is None else self.imputed.var
        known = var if "reliability" in var else pd.DataFrame({"reliability": []})
        return known.sort_values("reliability", ascending=False, kind="stable")

    @property
    def reached(self) -> str:
        """The metric that the reliability predicts, `"pcc"` or `"css"`."""
        if self.model is not None:
            return self.model._recipe.reliability_of.lower()
        told = {} if self.imputed is None else self.imputed.uns.get("stimpute", {})
        return str(told.get("reliability", "predicted PCC")).split()[-1].lower()

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """Reliability and reached accuracy of every gene of the cross-validation, most reliable first."""
        if self.validation is None:
            return pd.DataFrame({"reliability": []})
        table = self.validation.genes
        own = table[table["method"] == "stimpute"].pivot(index="gene", columns="metric", values="value")
        known = self.validation.predicted.var[["reliability"]].join(own)
        return known.sort_values("reliability", ascending=False, kind="stable")

    def extremes(self, table: pd.DataFrame) -> tuple[list[str], list[str]]:
        """Names of the most and of the least reliable genes, no gene twice."""
        names = list(table.index)
        best = names[: self.n_maps]
        return best, names[max(len(best), len(names) - self.n_maps) :]


def unmeasured_genes(model: Any) -> pd.Index:
    """Names of the genes that only the reference has."""
    return model._reference.bank.genes.difference(gene_names(model.adata_manager), sort=False)


def describe_unmeasured(model: Any) -> pd.DataFrame:
    """Reliability of every unmeasured gene, without a prediction for any cell."""
    available, names = model._reference.bank.genes, unmeasured_genes(model)
    targets = available.get_indexer(names)
    parts = []
    for group in model._group(targets):
        for start in range(0, len(group.targets), GENES_PER_CHUNK):
            chunk = group.targets[start : start + GENES_PER_CHUNK]
            parts.append(group.predictor.describe(chunk).set_index(available[chunk]))
    known, var = pd.concat(parts).assign(measured=False), model._reference_manager.adata.var
    if "has_protein" not in var:
        return known
    return known.assign(has_protein=var["has_protein"].to_numpy(bool)[available.get_indexer(known.index)])


def largest_section(adata: ad.AnnData, key: str | None) -> np.ndarray:
    """Positions of the cells of the largest section, or of all cells."""
    if key is None or key not in adata.obs:
        return np.arange(adata.n_obs)
    labels = adata.obs[key].astype(str)
    return np.flatnonzero(labels == labels.value_counts().index[0])
