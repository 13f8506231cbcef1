"""Our recipes and baselines in the form of an adapter, so that all are measured in the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from _methods import Predict, baselines, stimpute

from peers._exchange import VisibleFold
from stimpute.tl import GeneFold

NAMES = [field.name for field in fields(VisibleFold)]


@dataclass(frozen=True)
class OurSystem:
    """A method of `_methods.py`, made for a seed."""

    NAME: str
    make: Callable[[int], Predict]
    PACKAGES: tuple[str, ...] = ("stimpute", "scvi-tools")

    def predict_intervals(self, fold: VisibleFold, seed: int) -> dict[str, np.ndarray]:
        """Predict, with intervals if the method has them; the truth of the fold that it is given is not a number."""
        visible = {name: getattr(fold, name) for name in NAMES}
        truth = np.full((fold.spatial.n_obs, len(fold.targets)), np.nan, dtype=np.float32)
        prediction = self.make(seed)(GeneFold(truth=truth, **visible))
        made = {name: getattr(prediction, name) for name in ("expression", "lower", "upper")}
        return {name: values for name, values in made.items() if values is not None}


def our_systems() -> dict[str, OurSystem]:
    """Both recipes, and the baselines by the first word of their name."""
    recipes = {name: OurSystem(f"stimpute, {name}", _recipe(name)) for name in ("crossfit", "paper")}
    simple = {name.split()[0]: OurSystem(name, _baseline(method)) for name, method in baselines().items()}
    return simple | recipes


def _recipe(name: str) -> Callable[[int], Predict]:
    return lambda seed: stimpute(name, full=True, seed=seed)


def _baseline(method: Predict) -> Callable[[int], Predict]:
    return lambda seed: method
