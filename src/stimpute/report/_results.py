"""The results that a report is about, and tables derived from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute._messages import check_count
from stimpute.data._annotations import in_memory, read_column
from stimpute.data._result import recorded_setup
from stimpute.model import StImputeModel
from stimpute.tl import MODEL_NAME, CrossValidation, RelationAblation


@dataclass(frozen=True)
class Results:
    """Results of each kind; None where there is none.

    Attributes
    ----------
    model
        A trained model.
    imputed
        Result of `model.impute`.
    validation
        Result of `tl.cross_validate`.
    ablation
        Result of `tl.relation_ablation`.
    n_maps
        Number of maps of the most reliable genes, and of the least reliable ones.
    """

    model: StImputeModel | None = None
    imputed: AnnData | None = None
    validation: CrossValidation | None = None
    ablation: RelationAblation | None = None
    n_maps: int = 3

    def __post_init__(self) -> None:
        """Check the results.

        Raises
        ------
        TypeError
            If a result is of another type.
        ValueError
            If there is none.
        RuntimeError
            If the model is not trained.
        """
        expected = {
            "model": StImputeModel,
            "imputed": AnnData,
            "validation": CrossValidation,
            "ablation": RelationAblation,
        }
        for name, kind in expected.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"`{name}` is a {type(value).__name__}; expected a {kind.__name__}.")
        if all(getattr(self, name) is None for name in expected):
            raise ValueError("There is nothing to report on. Pass `model=`, `validation=`, or both.")
        if self.model is not None and not self.model.is_trained:
            raise RuntimeError("The model is not trained. Call `model.train()` first.")
        check_count(0, n_maps=self.n_maps)

    @property
    def has_data(self) -> bool:
        """Whether the model has both datasets, so that it can impute."""
        return self.model is not None and self.model.adata is not None and self.model.reference is not None

    @cached_property
    def imputed_genes(self) -> pd.DataFrame:
        """The gene table of `imputed`: its unmeasured genes, or all if there are none, in the order of reliability."""
        if self.imputed is None or "reliability" not in self.imputed.var:
            return _no_genes()
        genes = in_memory(self.imputed.var)
        unmeasured = _unmeasured(genes)
        return unmeasured if len(unmeasured) else _ranked(genes)

    @cached_property
    def unmeasured(self) -> pd.DataFrame:
        """A table of every gene that was not measured, in the order of their reliability."""
        if not self.has_data or self.model is None:
            return _unmeasured(self.imputed_genes)
        if len(self.model.reference_genes.difference(self.model.measured_genes)) == 0:
            return _no_genes()
        return _unmeasured(self.model.gene_reliability())

    @cached_property
    def held_out(self) -> pd.DataFrame:
        """Reliability and observed accuracy of the genes of the cross-validation, in the order of reliability."""
        if self.validation is None:
            return _no_genes()
        scores = self.validation.genes
        own = scores[scores["method"] == MODEL_NAME]
        observed = own.pivot(index="gene", columns="metric", values="value")
        return _ranked(self.validation.predicted.var[["reliability"]].join(observed))

    @cached_property
    def genes(self) -> pd.DataFrame:
        """A table of every gene, in the order of reliability; `observed` and `within_groups` of held-out genes."""
        known = [self.unmeasured, self._measured, self.held_out.drop(columns=["pcc", "css"], errors="ignore")]
        table = pd.concat([part for part in known if len(part)] or [_no_genes()])
        table = table[~table.index.duplicated()]
        if self.validation is not None:
            observed = self.held_out[self.validation.settings.reliability_metric]
            is_measured = table.index.isin(observed.index)
            if "measured" in table:
                is_measured |= table["measured"].eq(True).fillna(False).to_numpy(bool)
            table = table.assign(observed=observed.reindex(table.index), measured=is_measured)
        return _ranked(table.assign(within_groups=self._within_groups.reindex(table.index)))

    @cached_property
    def _measured(self) -> pd.DataFrame:
        """The gene table of measured genes: of the model, or of `imputed`."""
        if self.has_data and self.model is not None:
            return self.model.gene_reliability(list(self.model.shared_genes))
        if self.imputed is None or not {"reliability", "measured"} <= set(self.imputed.var):
            return _no_genes()
        genes = in_memory(self.imputed.var)
        return genes[genes["measured"].to_numpy(bool)]

    @property
    def _within_groups(self) -> pd.Series:
        """Accuracy of held-out genes within groups of cells, the mean weighted by the cells of each group."""
        nothing = pd.Series(dtype=float)
        if self.validation is None or self.validation.groups is None:
            return nothing
        metric = self.validation.settings.reliability_metric
        chosen = self.validation.groups[lambda table: (table["method"] == MODEL_NAME) & (table["metric"] == metric)]
        chosen = chosen.dropna(subset="value")
        if chosen.empty:  # the metric was not computed within groups
            return nothing
        weighted = (chosen["value"] * chosen["n_cells"]).groupby(chosen["gene"]).sum()
        return weighted / chosen.groupby("gene")["n_cells"].sum()

    @property
    def reliability_metric(self) -> str:
        """Metric that the reliability of the unmeasured genes predicts, `"pcc"` or `"css"`."""
        if self.model is not None:
            return self.model.recipe.capabilities.reliability_metric
        if self.imputed is not None:
            return str(self.imputed.uns.get("stimpute", {}).get("reliability_metric", "pcc"))
        return "pcc" if self.validation is None else self.validation.settings.reliability_metric

    @property
    def spatial_setup(self) -> dict[str, Any]:
        """Setup of the spatial data, empty if it is not known."""
        if self.model is not None:
            return dict(self.model.spatial_setup)
        if self.validation is not None:
            return dict(self.validation.settings.spatial_setup)
        return {} if self.imputed is None else recorded_setup(self.imputed)

    def extremes(self, genes: pd.DataFrame) -> tuple[list[str], list[str]]:
        """Return the names of the most and of the least reliable genes of a ranked table, no gene twice."""
        names = list(genes.index)
        best = names[: self.n_maps]
        n_worst = min(self.n_maps, len(names) - len(best))
        return best, names[len(names) - n_worst :]

    def largest_section(self, adata: AnnData) -> tuple[np.ndarray, str]:
        """Return the positions of the cells of the largest section, and a sentence that names it.

        All cells and no sentence if there is one section only.
        """
        key = self.spatial_setup.get("batch_key")
        if key is None or key not in adata.obs:
            return np.arange(adata.n_obs), ""
        labels = read_column(adata.obs, key).astype(str)
        counts = labels.value_counts()
        name = counts.index[0]
        note = f" Section {name!r}, the largest of {len(counts)}." if len(counts) > 1 else ""
        return np.flatnonzero(labels == name), note


def _no_genes() -> pd.DataFrame:
    return pd.DataFrame({"reliability": []})


def _unmeasured(genes: pd.DataFrame) -> pd.DataFrame:
    if "measured" in genes:
        genes = genes[~genes["measured"].to_numpy(bool)]
    return _ranked(genes)


def _ranked(genes: pd.DataFrame) -> pd.DataFrame:
    return genes.sort_values("reliability", ascending=False, kind="stable")
