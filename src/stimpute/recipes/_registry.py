"""Register recipes by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from stimpute.recipes._base import Recipe

R = TypeVar("R", bound=type[Recipe])

_registered: dict[str, type[Recipe]] = {}
RECIPES: Mapping[str, type[Recipe]] = MappingProxyType(_registered)


def register_recipe(recipe: R) -> R:
    """Make a recipe available as `StImputeModel(..., recipe=name)`; may be used as a class decorator.

    Parameters
    ----------
    recipe
        A subclass of :class:`Recipe`. One of the same name is replaced.

    Returns
    -------
    The recipe.
    """
    _registered[recipe.name] = recipe
    return recipe


def get_recipe(name: str) -> type[Recipe]:
    """Return the recipe of a name.

    Raises
    ------
    ValueError
        If no recipe of that name is registered.
    """
    if name not in _registered:
        raise ValueError(f"`recipe` is {name!r}; expected one of {sorted(_registered)}.")
    return _registered[name]
