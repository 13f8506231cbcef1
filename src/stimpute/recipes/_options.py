"""Define what a recipe can do, the sizes that it is built for, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Literal


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
        names = ("n_cells", "n_reference", "n_shared", "n_datasets")
        return {name: getattr(self, name) for name in names}


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
