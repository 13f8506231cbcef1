"""The gene side of `crossfit`: how target genes relate to the panel, and what they hear of it."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stimpute.data._panel import ReferencePanel
from stimpute.data._relations import COEXPRESSION, Coexpression
from stimpute.module._gene_graph import whiten
from stimpute.module._module import StImputeModule
from stimpute.recipes._base import Reference, State

N_STATISTICS = 3  # of a gene in the reference: mean, spread, detection rate


class Listening(NamedTuple):
    """What target genes hear.

    Attributes
    ----------
    edges
        Weights on the visible genes of the cell and of those around, shape (n_channels, n_targets, n_panel).
    profiles
        Standardised expression in the metacells, shape (n_metacells, n_targets).
    """

    edges: Tensor
    profiles: Tensor


class CrossfitGenes:
    """Relations, statistics and edges of genes under one hiding.

    Parameters
    ----------
    reference
        The reference.
    module
        The networks.
    state
        Learnt arrays of the recipe.
    hiding
        Which hiding's view of the spatial cells to use; -1 for the one that hides nothing.
    members
        Members of the ensemble to average.
    ridge
        Added to the diagonal of the panel's correlation.
    """

    def __init__(
        self, reference: Reference, module: StImputeModule, state: State, hiding: int, members: Tensor, ridge: float
    ) -> None:
        self.reference, self.module, self.state, self.index = reference, module, state, hiding
        self.members, self.ridge = members, ridge
        self._heard: dict[bytes, Listening] = {}

    @cached_property
    def reference_panel(self) -> ReferencePanel:
        """Metacells and correlations."""
        return ReferencePanel(self.reference.bank, self.reference.panel, self.state["metacell"])

    @cached_property
    def coexpression(self) -> Coexpression:
        """Correlation of genes in the reference."""
        known = self.reference.relations.get(COEXPRESSION)
        return known if isinstance(known, Coexpression) else Coexpression(self.reference.bank, self.reference.panel)

    @cached_property
    def precision(self) -> Tensor:
        """Regularised inverse of the panel's correlation, shape (n_panel, n_panel)."""
        correlation = np.eye(len(self.reference.panel))
        if COEXPRESSION in self.reference.relations:
            correlation = self.coexpression.similarity(self.reference.panel).astype(np.float64)
            correlation = (correlation + correlation.T) / 2
        inverse = np.linalg.inv(correlation + self.ridge * np.eye(len(correlation)))
        return torch.from_numpy(inverse.astype(np.float32))

    def relations(self, targets: np.ndarray) -> Tensor:
        """How targets relate to the panel, shape (n_targets, n_panel, n_features); nothing without relations."""
        given = {name: relation.similarity(targets) for name, relation in self.reference.relations.items()}
        features = list(given.values())
        if COEXPRESSION in given:
            c = given[COEXPRESSION]
            over_metacells = self.reference_panel.metacell_correlation(targets)
            features += [np.sign(c) * np.sqrt(np.abs(c)), over_metacells, self._carried_over(c, targets)]
        shape = (len(targets), len(self.reference.panel), 0)
        return torch.from_numpy(np.stack(features, axis=-1) if features else np.empty(shape, np.float32))

    def _carried_over(self, correlation: np.ndarray, targets: np.ndarray) -> np.ndarray:
        r"""Correlation of targets with the panel on the spatial platform, as regression would predict it.

        .. math:: A_g = C_g P (S - I)

        :math:`C` is the correlation in the reference, :math:`S` that of the panel in the spatial cells.
        """
        own = torch.from_numpy(self.reference.in_panel(targets))
        carried = whiten(torch.from_numpy(correlation), self.precision, own).numpy() @ self._spatial_correlation
        return carried * self._carried_scale

    @cached_property
    def _spatial_correlation(self) -> np.ndarray:
        panel = self.state["anchors"][self.index][0]
        correlation = panel.T @ panel / len(panel)
        np.fill_diagonal(correlation, 0)
        return correlation

    @cached_property
    def _carried_scale(self) -> float:
        correlation = torch.from_numpy(self.coexpression.similarity(self.reference.panel))
        own = torch.arange(len(self.reference.panel))
        carried = whiten(correlation, self.precision, own).numpy() @ self._spatial_correlation
        return float(correlation.std()) / max(float(carried.std()), 1e-6)

    def statistics(self, genes: np.ndarray) -> Tensor:
        """Standardised statistics of genes in the reference, shape (n_genes, n_statistics)."""
        raw, state = gene_statistics(self.reference, genes), self.state
        standard = np.clip((raw - state["statistics_mean"]) / state["statistics_std"], -3, 3)
        return torch.from_numpy(standard.astype(np.float32))

    @torch.inference_mode()
    def listen(self, targets: np.ndarray) -> Listening:
        """Edges and metacell profiles of target genes; kept, since every chunk of cells needs them."""
        key = targets.tobytes()
        if key not in self._heard:
            device = self.module.device
            profiles = torch.from_numpy(self.reference_panel.metacell_profiles(targets)).to(device)
            self._heard[key] = Listening(self._edges(targets), profiles)
        return self._heard[key]

    def _edges(self, targets: np.ndarray) -> Tensor:
        """Mean of the members' edges, shape (n_channels, n_targets, n_panel)."""
        device, panel = self.module.device, self.reference.panel
        if not self.reference.relations:
            return torch.zeros(1, len(targets), len(panel), device=device)
        graph, relations = self.module["graph"], self.relations(targets).to(device)
        target, source = (self.statistics(genes).to(device) for genes in (targets, panel))
        weights = torch.stack([graph(relations, target, source, m[None])[0] for m in self.members]).mean(0)
        return whiten(weights, self.precision.to(device), torch.from_numpy(self.reference.in_panel(targets)).to(device))


def gene_statistics(reference: Reference, genes: np.ndarray) -> np.ndarray:
    """Mean, spread and detection rate in the reference, shape (n_genes, 3)."""
    bank = reference.bank
    return np.c_[bank.mean[genes], bank.std[genes], bank.detection[genes]]
