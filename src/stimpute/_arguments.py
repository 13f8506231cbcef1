"""Check the arguments of a public call against its signature: the one place where their types are checked."""

from __future__ import annotations

import ast
import inspect
import os
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np

from stimpute._messages import with_article

MAX_SHOWN = 60  # characters of a value
READ_FILES = "Read files with `anndata.read_h5ad`."
OF_CONTAINERS = {  # that hold several AnnData, by the names of their types
    "MuData": 'Pass one of its modalities: `mdata["..."]`.',
    "SpatialData": 'Pass its table: `sdata.tables["table"]`.',
}


@dataclass(frozen=True)
class _Kind:
    """A kind of value that an argument may be.

    Attributes
    ----------
    words
        How a message calls it.
    accepts
        Tells whether a value is of this kind.
    is_plain
        Whether a message shows the value that was found, and not only its type.
    """

    words: str
    accepts: Callable[[Any], bool]
    is_plain: bool = True


NOTHING = _Kind("None", lambda value: value is None)
PATH = _Kind("a path", lambda value: isinstance(value, os.PathLike))
PLAIN: dict[Any, _Kind] = {
    None: NOTHING,
    type(None): NOTHING,
    bool: _Kind("True or False", lambda value: isinstance(value, bool | np.bool_)),
    int: _Kind("an integer", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: _Kind("a number", lambda value: isinstance(value, Real) and not isinstance(value, bool)),
    str: _Kind("text", lambda value: isinstance(value, str)),
}
LISTS = (Sequence, Iterable, list, tuple)


def check_arguments(function: Callable, values: Mapping[str, Any], but: Collection[str] = ()) -> None:
    """Check that every argument is of a kind that the signature names.

    Parameters
    ----------
    function
        A public function. Its annotations say what it takes.
    values
        Its arguments by name: `locals()` in its first line.
    but
        Arguments that are checked elsewhere, in words of their own.

    Raises
    ------
    TypeError
        If an argument is of another kind; the message names it, what was found and what is expected.
    ValueError
        If it is text, but none of the words that are allowed.
    """
    for name, kinds in _expected(function).items():
        value = values.get(name)
        if name in values and name not in but and not any(kind.accepts(value) for kind in kinds):
            raise _error(name, value, kinds)


def _error(name: str, value: Any, kinds: tuple[_Kind, ...]) -> Exception:
    """Make the error for an argument of another kind."""
    named = [kind for kind in kinds if kind is not NOTHING] or [NOTHING]
    if PATH in named:  # text is a path
        named = [kind for kind in named if kind is not PLAIN[str]]
    expected = " or ".join(kind.words for kind in named)
    found = repr(value)
    is_shown = value is None or all(kind.is_plain for kind in named)
    if not is_shown or len(found) > MAX_SHOWN:
        found = with_article(type(value))
    advice = ""
    if "AnnData" in expected:
        advice = READ_FILES if isinstance(value, str | os.PathLike) else OF_CONTAINERS.get(type(value).__name__, "")
    error = ValueError if isinstance(value, str) and '"' in expected else TypeError
    return error(f"`{name}` is {found}; expected {expected}. {advice}".rstrip())


@cache
def _expected(function: Callable) -> dict[str, tuple[_Kind, ...]]:
    """Return what each argument may be; arguments that may be anything are left out."""
    expected = {}
    for name, parameter in inspect.signature(function).parameters.items():
        is_one_value = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if is_one_value and parameter.annotation is not parameter.empty:
            kinds = [_kind(member) for member in _members(parameter.annotation, function)]
            known = tuple(kind for kind in kinds if kind is not None)
            if len(known) == len(kinds):
                expected[name] = known
    return expected


def _members(annotation: Any, function: Callable) -> list[Any]:
    """Split an annotation at `|`. A class that is imported for type checkers only stays a name."""
    if isinstance(annotation, str):
        tree = ast.parse(annotation, mode="eval").body
        if isinstance(tree, ast.BinOp):
            return [*_members(ast.unparse(tree.left), function), *_members(ast.unparse(tree.right), function)]
        try:
            annotation = eval(annotation, inspect.unwrap(function).__globals__)
        except NameError:
            return [annotation]
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for member in get_args(annotation) for part in _members(member, function)]
    return [annotation]


def _kind(member: Any) -> _Kind | None:
    """Return the kind of value that a part of an annotation stands for; None for anything."""
    origin = get_origin(member) or member
    if member in PLAIN:
        return PLAIN[member]
    if isinstance(member, str):
        return _Kind(_article(member), lambda value: member in {base.__name__ for base in type(value).__mro__}, False)
    if origin is Literal:
        words = get_args(member)
        named = " or ".join(f'"{word}"' for word in words)
        return _Kind(named, lambda value: isinstance(value, str) and value in words)
    if not isinstance(origin, type) or origin in (Any, np.ndarray):  # what is no array may become one
        return None
    if issubclass(origin, os.PathLike):
        return PATH
    if origin in LISTS:
        return _Kind(_list_of(member), lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes))
    return _Kind(with_article(origin), lambda value: isinstance(value, origin), False)


def _list_of(member: Any) -> str:
    """Call a list by what is in it."""
    items = {str: "names", int: "integers", float: "numbers"}
    inside = get_args(member)[:1]
    return f"a list of {items[inside[0]]}" if inside and inside[0] in items else "a list"


def _article(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
