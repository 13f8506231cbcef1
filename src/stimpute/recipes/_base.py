"""Define what a recipe consists of, so that the model, the tools and the report work with any of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from torch import nn

from stimpute.data._reference import Reference
from stimpute.data._relation_store import COEXPRESSION
from stimpute.data._spatial import SpatialCells
from stimpute.module._module import StImputeModule
from stimpute.recipes._options import Capabilities, DataSizes, OutputOptions
from stimpute.recipes._predictor import Predictor
from stimpute.train._trainer import PhaseTrainer


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
        """Choose the gene relations to use, co-expression first.

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
        if len(set(names)) < len(names):
            raise ValueError(f"`relations` is {names}; expected each relation once.")
        limit = self.capabilities.max_relations
        if limit is not None and len(names) > limit:
            advice = f"Name {limit} of {list(available)} by `relations=`." if limit else "Pass `relations=[]`."
            raise ValueError(f"The recipe {self.name!r} uses at most {limit} gene relation(s); found {names}. {advice}")
        return sorted(names, key=lambda name: name != COEXPRESSION)

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
