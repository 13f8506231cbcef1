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


def check_registered(recipe: type[Recipe]) -> None:
    """Check that a recipe is found by its name, since a saved model holds only the name.

    Raises
    ------
    ValueError
        If it is not registered, or another class is registered by its name.
    """
    if _registered.get(recipe.name) is not recipe:
        raise ValueError(
            f"{recipe.__name__} is not registered by its name {recipe.name!r}. Give it a `name` of its own, and call "
            f"`stimpute.recipes.register_recipe({recipe.__name__})`."
        )


def get_recipe(name: str) -> type[Recipe]:
    """Return the class of a recipe by its name.

    Parameters
    ----------
    name
        A key of `RECIPES`.

    Raises
    ------
    ValueError
        If no recipe of that name is registered.
    """
    if name not in _registered:
        raise ValueError(f"`recipe` is {name!r}; expected one of {sorted(_registered)}.")
    return _registered[name]
