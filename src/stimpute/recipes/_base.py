"""Define what a recipe consists of, so that the model, the tools and the report work with any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import pandas as pd
from torch import nn

from stimpute.data._folds import GeneFolds
from stimpute.data._reference import Reference
from stimpute.data._spatial import CellChunk, SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.train._trainer import PhaseTrainer


@dataclass(frozen=True)
class Capabilities:
    """What a recipe can do.

    Attributes
    ----------
    intervals
        Whether it predicts intervals.
    variance_matching
        Whether it can match the variance of a gene on the spatial platform.
    latent_space
        Whether its predictor is a :class:`LatentSpace`, which neighbors and label transfer need.
    uses_space
        Whether it reads the positions of cells, where there are any.
    centers_vectors
        Whether gene vectors and expression profiles are centered before their cosine is computed.
    max_relations
        Maximum number of gene relations that it uses; None for any number.
    several_references
        Whether the reference may consist of several datasets.
    reliability_metric
        Metric of :mod:`stimpute.tl.metrics` that its reliability predicts.
    """

    intervals: bool = False
    variance_matching: bool = False
    latent_space: bool = False
    uses_space: bool = False
    centers_vectors: bool = True
    max_relations: int | None = None
    several_references: bool = False
    reliability_metric: str = "pcc"


@dataclass(frozen=True)
class DataSizes:
    """Sizes that determine the shapes of networks and fitted arrays.

    Attributes
    ----------
    n_cells
        Number of spatial cells that are trained on.
    n_reference
        Number of reference cells.
    n_shared
        Number of shared genes.
    relations
        Names of the gene relations that are used.
    n_datasets
        Number of datasets of the reference.
    """

    n_cells: int
    n_reference: int
    n_shared: int
    relations: tuple[str, ...]
    n_datasets: int = 1

    def dimensions(self) -> dict[str, int]:
        """Return the sizes by the names that declared shapes use."""
        return {"n_cells": self.n_cells, "n_reference": self.n_reference, "n_shared": self.n_shared}


@dataclass(frozen=True)
class OutputOptions:
    """Options of predicted values.

    Attributes
    ----------
    interval
        Share of the values that an interval should cover, or None for no intervals.
    variance
        `"shrunken"` values have the smallest squared error; `"matched"` values vary as much as the gene is expected to
        vary on the spatial platform.
    """

    interval: float | None = None
    variance: Literal["shrunken", "matched"] = "shrunken"

    def __post_init__(self) -> None:
        if self.interval is not None and not isinstance(self.interval, Real):
            raise TypeError(f"`interval` is {self.interval!r}; expected a probability, such as 0.9.")
        if self.interval is not None and not 0 < self.interval < 1:
            raise ValueError(f"`interval` is {self.interval}; expected a probability between 0 and 1, such as 0.9.")
        if self.variance not in ("shrunken", "matched"):
            raise ValueError(f'`variance` is {self.variance!r}; expected "shrunken" or "matched".')


class CellEncoder(Protocol):
    """Everything that is needed to encode cells; small, without the reference, and can be pickled."""

    def encode(self, chunk: CellChunk) -> Any:
        """Compute everything about a chunk of cells that does not depend on the target genes: a cell block."""


class GeneBlock(Protocol):
    """Everything that is needed to predict some genes from cell blocks; small, and can be pickled.

    A block may have a method `take(genes)` that returns the block of some of its genes, given by position. Then a lazy
    result computes these alone; otherwise it computes the genes of a block together.

    Attributes
    ----------
    table
        One row per gene, with at least the columns `reliability` and `n_edges`.
    """

    @property
    def table(self) -> pd.DataFrame:
        """One row per gene."""

    def predict(self, cells: Any, options: OutputOptions) -> dict[str, np.ndarray]:
        """Predict the genes for a cell block; depends on nothing else.

        Returns
        -------
        Expression `"X"` on the spatial log-normalized scale and, with an interval, `"lower"` and `"upper"`; each
        float32, shape (n_cells, n_genes).
        """


class Predictor(ABC):
    """A fitted recipe together with the reference that it reads.

    Attributes
    ----------
    folds
        Folds of the shared genes. A shared gene is predicted with its fold held out.
    n_spatial_neighbors
        Number of spatial neighbors that :class:`CellEncoder` reads; None for none.
    highest_interval
        Highest probability that intervals reached on held-out genes.
    """

    folds: GeneFolds
    n_spatial_neighbors: int | None = None
    highest_interval: float = 1.0

    @abstractmethod
    def gene_block(self, targets: np.ndarray, fold: int | None) -> GeneBlock:
        """Describe target genes (positions in the reference) once, for any number of cells."""

    @abstractmethod
    def cell_encoder(self, fold: int | None) -> CellEncoder:
        """Return the encoder of cells with a fold of the genes held out; with None, nothing is held out."""


@runtime_checkable
class LatentSpace(Protocol):
    """A predictor that embeds spatial and reference cells in one space."""

    def embed_spatial(self, cells: SpatialCells) -> np.ndarray:
        """Embed spatial cells, float32, shape (n_cells, n_latent)."""

    def embed_reference(self, shared: np.ndarray | None = None, dataset: np.ndarray | None = None) -> np.ndarray:
        """Embed reference cells, float32, shape (n_cells, n_latent).

        Parameters
        ----------
        shared
            Log-normalized shared genes of some reference cells, shape (n_cells, n_shared); all cells if None.
        dataset
            Number of the dataset that each of these cells belongs to, shape (n_cells,); the first if None.
        """

    def nearest_reference_cells(self, cells: SpatialCells, k: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest reference cells and their cosines, each of shape (n_cells, k)."""


@dataclass(frozen=True)
class Recipe(ABC):
    """Hyperparameters of a method, which are the fields of a subclass, and its steps.

    A recipe never sees an AnnData, and holds nothing that is learned: :meth:`fit` returns a frozen dataclass.
    """

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    fit_type: ClassVar[type]

    @classmethod
    def configure(cls, options: Mapping[str, Any]) -> Self:
        """Make a recipe with some hyperparameters replaced; None keeps the default.

        Raises
        ------
        TypeError
            If the recipe has no such hyperparameter; the message lists those that it has.
        """
        given = {name: value for name, value in options.items() if value is not None}
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise TypeError(f"The recipe {cls.name!r} has no hyperparameter {unknown}; it has {sorted(known)}.")
        return cls(**given)

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    @classmethod
    def check_output(cls, options: OutputOptions) -> None:
        """Check that the recipe can give the output that is asked for.

        Raises
        ------
        ValueError
            If it has no intervals, or cannot match the variance.
        """
        can = cls.capabilities
        missing = []
        if options.interval is not None and not can.intervals:
            missing.append(f"no intervals (`interval={options.interval}`)")
        if options.variance != "shrunken" and not can.variance_matching:
            missing.append(f"no choice of variance (`variance={options.variance!r}`)")
        if missing:
            raise ValueError(
                f'The recipe {cls.name!r} has {" and ".join(missing)}. Use `recipe="crossfit"`, or leave these '
                "arguments out."
            )

    def choose_relations(self, available: Sequence[str], requested: str | Sequence[str]) -> list[str]:
        """Choose the gene relations to use.

        Parameters
        ----------
        available
            Relations of the reference, co-expression first.
        requested
            `"auto"`, a name, or names.

        Raises
        ------
        ValueError
            If more are requested than the recipe can use.
        """
        if isinstance(requested, str):
            names = self.default_relations(available) if requested == "auto" else [requested]
        elif not isinstance(requested, Iterable):
            raise TypeError(f'`relations` is {requested!r}; expected "auto" or a list of names, which may be empty.')
        else:
            names = list(requested)
        limit = self.capabilities.max_relations
        if limit is not None and len(names) > limit:
            advice = f"Name {limit} of {list(available)} by `relations=`." if limit else "Pass `relations=[]`."
            raise ValueError(f"The recipe {self.name!r} uses at most {limit} gene relation(s); found {names}. {advice}")
        return names

    def default_relations(self, available: Sequence[str]) -> list[str]:
        """Return the relations that are used if none are requested."""
        return list(available)[: self.capabilities.max_relations]

    def check(self, reference: Reference) -> None:  # noqa: B027 - a recipe may accept any reference
        """Raise ValueError if the reference does not suit the hyperparameters; accept any by default."""

    def correlation_components(self, n_shared: int) -> int | None:
        """Return the number of components in which co-expression is computed; None, the default, for the exact value.

        See :class:`~stimpute.data._relations.Coexpression`.
        """
        return None

    def work_per_step(self, sizes: DataSizes) -> float:
        """Estimate the multiplications of one training step, which decide on the number of threads."""
        return 0.0

    def work_per_value(self, sizes: DataSizes) -> float:
        """Estimate the multiplications for one imputed value, which decide on the number of threads."""
        return 0.0

    @abstractmethod
    def build(self, sizes: DataSizes) -> dict[str, nn.Module]:
        """Build untrained networks by name."""

    @abstractmethod
    def fit(self, cells: SpatialCells, reference: Reference, module: StImputeModule, trainer: PhaseTrainer) -> Any:
        """Train the networks, and return everything else that is learned, an instance of `fit_type`."""

    @abstractmethod
    def predictor(self, fit: Any, reference: Reference | None, module: StImputeModule) -> Predictor:
        """Bring the fit and the reference together; without a reference, spatial cells can be embedded."""
