"""What a recipe is: networks to train, an order to train them in, and a way to predict any gene."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from torch import nn

from stimpute.data._hiding import Hiding
from stimpute.data._reference import ReferenceBank
from stimpute.data._relations import Relation
from stimpute.data._spatial import SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.train._phases import Phases

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Reference:
    """The reference as a recipe sees it.

    Attributes
    ----------
    bank
        Expression.
    panel
        Positions of the panel's genes in the reference, shape (n_panel,).
    relations
        Relations between genes, by name.
    """

    bank: ReferenceBank
    panel: np.ndarray
    relations: Mapping[str, Relation]

    def fingerprint(self) -> str:
        """Digest of the expression and of the relations, independent of the order of the genes."""
        digest = hashlib.blake2b(self.bank.fingerprint().encode(), digest_size=16)
        order = np.argsort(self.bank.genes.to_numpy().astype(str))
        for name, relation in sorted(self.relations.items()):
            for part in (name.encode(), *relation.inputs(order)):
                digest.update(part)
        return digest.hexdigest()

    def in_panel(self, targets: np.ndarray) -> np.ndarray:
        """Position in the panel of every target gene, -1 outside of it, shape (n_targets,)."""
        return pd.Index(self.panel).get_indexer(targets)

    def n_seen(self, targets: np.ndarray) -> np.ndarray:
        """Reference cells that have a gene, shape (n_targets,)."""
        return self.bank.detection[targets] * self.bank.n_cells


@dataclass(frozen=True)
class OutputOptions:
    """What is wanted of each predicted value.

    Attributes
    ----------
    interval
        Probability that an interval should cover, or None for no intervals.
    spread
        `"expected"` for least squares, `"matched"` for the gene's own spread.
    """

    interval: float | None = None
    spread: Literal["expected", "matched"] = "expected"

    def __post_init__(self) -> None:
        if self.interval is not None and not 0 < self.interval < 1:
            raise ValueError(f"`interval` is {self.interval}; expected a probability between 0 and 1, such as 0.9.")
        if self.spread not in ("expected", "matched"):
            raise ValueError(f'`spread` is {self.spread!r}; expected "expected" or "matched".')


class Recipe(ABC):
    """Hyperparameters (the fields), learnt arrays (`state`) and the steps of a method.

    A recipe never sees an AnnData. Its `state` holds plain arrays, which the model saves beside the networks.
    """

    name: ClassVar[str]
    reliability_of: ClassVar[str]
    centred: ClassVar[bool] = True  # whether gene vectors are centred before their cosine
    calibrated: ClassVar[bool] = True  # whether it has intervals, and a choice of spread
    state: State

    @classmethod
    def configure(cls, options: Mapping[str, Any]) -> Recipe:
        """A recipe with some hyperparameters replaced; None keeps a default.

        Raises
        ------
        TypeError
            If the recipe has no such hyperparameter; the message lists those that it has.
        """
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(options) - known)
        if unknown:
            raise TypeError(f"The recipe {cls.name!r} has no hyperparameter {unknown}; it has {sorted(known)}.")
        recipe = cls(**{key: value for key, value in options.items() if value is not None})
        recipe.state = {}
        return recipe

    @classmethod
    def check_output(cls, options: OutputOptions) -> None:
        """Raise ValueError if the recipe cannot give what is wanted of each value."""
        if not cls.calibrated and options != OutputOptions():
            raise ValueError(
                f'The recipe {cls.name!r} has no intervals and no choice of spread. Use `recipe="crossfit"`, or leave '
                f"`interval` and `spread` alone; found {options}."
            )

    @abstractmethod
    def relation_names(self, available: list[str], chosen: Any) -> list[str]:
        """Which of the available gene relations the recipe uses."""

    @abstractmethod
    def check(self, reference: Reference) -> None:
        """Raise ValueError if the reference is too small for the hyperparameters."""

    @abstractmethod
    def networks(self, n_panel: int, relations: list[str]) -> dict[str, nn.Module]:
        """Untrained networks, `"autoencoder"` among them."""

    @abstractmethod
    def fit(self, cells: SpatialCells, reference: Reference, module: StImputeModule, phases: Phases) -> None:
        """Train the networks and fill `state`."""

    @abstractmethod
    def predictor(self, reference: Reference, module: StImputeModule, hiding: int) -> Predictor:
        """What predicts genes under one hiding; -1 is the hiding that hides nothing."""

    def hiding(self, index: int) -> Hiding:
        """The hiding of that number, from the state."""
        hidden_in = self.state["hidden_in"]
        return Hiding(np.flatnonzero(hidden_in != index), np.flatnonzero(hidden_in == index))


class Predictor(ABC):
    """Predicts target genes for cells under one hiding, chunk by chunk."""

    @abstractmethod
    def latent(self, cells: SpatialCells) -> np.ndarray:
        """Latent representation of spatial cells, shape (n_cells, n_latent)."""

    @abstractmethod
    def reference_latent(self) -> np.ndarray:
        """Latent representation of the reference cells, shape (n_reference, n_latent)."""

    @abstractmethod
    def neighbours(self, cells: SpatialCells, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Nearest reference cells in the latent space and their cosines, each of shape (n_cells, k)."""

    @abstractmethod
    def describe(self, targets: np.ndarray) -> pd.DataFrame:
        """What is known of the targets before any cell is looked at; has a column `reliability`."""

    @abstractmethod
    def embed(self, cells: SpatialCells, rows: np.ndarray) -> Any:
        """Everything about a chunk of the cells that does not depend on the target genes."""

    @abstractmethod
    def predict(
        self, embedded: Any, targets: np.ndarray, described: pd.DataFrame, options: OutputOptions
    ) -> dict[str, np.ndarray]:
        """Expression `"X"` on the spatial log-normalised scale and, for an interval, `"lower"` and `"upper"`.

        Each is float32, shape (n_cells, n_targets).
        """
