"""Convert fitted dataclasses to named arrays and back: the one format of `model.pt` and of shared models.

A fitted object is a frozen dataclass. Its fields are arrays and numbers, annotated with a :class:`Shape`, or further
such dataclasses. A name like `calibration.moments.coefficients` says where an array belongs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np

T = TypeVar("T")
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Shape:
    """Declaration of an array: `mean: Annotated[np.ndarray, Shape("n_genes")]`; without dimensions, of a number.

    Attributes
    ----------
    dimensions
        Names or sizes of the dimensions. Equal names must have equal sizes within one fitted object.
    index_of
        Name of the dimension that the values, which are integers then, point into.
    about
        What the array holds, for the list of what travels with a model.
    """

    dimensions: tuple[str | int, ...]
    index_of: str | None
    about: str

    def __init__(self, *dimensions: str | int, index_of: str | None = None, about: str = "") -> None:
        object.__setattr__(self, "dimensions", dimensions)  # the way to set a field of a frozen dataclass
        object.__setattr__(self, "index_of", index_of)
        object.__setattr__(self, "about", about)


@dataclass(frozen=True)
class ArrayField:
    """A declared array of a fitted class.

    Attributes
    ----------
    name
        Dotted name.
    shape
        Its declaration.
    optional
        Whether it may be missing.
    kind
        Type of a number, `numpy.ndarray` for an array.
    """

    name: str
    shape: Shape
    optional: bool
    kind: type


def declared_arrays(cls: type, prefix: str = "") -> Iterator[ArrayField]:
    """List the arrays that a fitted class declares, its parts included."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if is_dataclass(hint):
            yield from declared_arrays(hint, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            kind, shape = get_args(hint)
            options = [option for option in get_args(kind) if option is not NoneType]
            yield ArrayField(prefix + name, shape, bool(options), options[0] if options else kind)


def to_arrays(fitted: Any, prefix: str = "") -> Arrays:
    """Convert a fitted object to arrays by dotted name; fields that are None are left out."""
    arrays: Arrays = {}
    for part in fields(fitted):
        value = getattr(fitted, part.name)
        name = prefix + part.name
        if is_dataclass(value):
            arrays.update(to_arrays(value, f"{name}."))
        elif value is not None:
            arrays[name] = np.asarray(value)
    return arrays


def from_arrays(cls: type[T], arrays: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> T:
    """Make a fitted object from arrays, after checking them against their declarations.

    Parameters
    ----------
    cls
        The dataclass.
    arrays
        From :func:`to_arrays`.
    sizes
        Known sizes of named dimensions. Other names take the size of the first array that has them.

    Raises
    ------
    ValueError
        If an array is missing, unknown, of another shape, not finite, or points outside of its dimension.
    """
    declared = list(declared_arrays(cls))
    unknown = sorted(set(arrays) - {entry.name for entry in declared})
    if unknown:
        raise ValueError(f"unknown array {unknown[0]!r}")
    known_sizes = dict(sizes)
    for entry in declared:
        if entry.name in arrays:
            _check(entry, arrays[entry.name], known_sizes)
        elif not entry.optional:
            raise ValueError(f"the array {entry.name!r} is missing")
    for entry in declared:  # in a second pass, when all sizes are known
        if entry.shape.index_of is not None and entry.name in arrays:
            _check_index(entry, arrays[entry.name], known_sizes)
    return _build(cls, arrays, "")


def _check(entry: ArrayField, value: np.ndarray, sizes: dict[str, int]) -> None:
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{entry.name} holds values of type {value.dtype}, expected numbers")
    dimensions = entry.shape.dimensions
    if value.ndim != len(dimensions):
        raise ValueError(f"{entry.name} has shape {value.shape}, expected {dimensions}")
    for size, dimension in zip(value.shape, dimensions, strict=True):
        expected = dimension if isinstance(dimension, int) else sizes.setdefault(dimension, size)
        if size != expected:
            raise ValueError(f"{entry.name} has shape {value.shape}, expected {expected} for {dimension!r}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{entry.name} has values that are not finite")


def _check_index(entry: ArrayField, value: np.ndarray, sizes: Mapping[str, int]) -> None:
    name = str(entry.shape.index_of)
    bound = sizes.get(name)
    if value.dtype.kind not in "iu" or bound is None:
        raise ValueError(f"{entry.name} should hold positions among {name!r}")
    if value.size and not (value.min() >= 0 and value.max() < bound):
        raise ValueError(f"{entry.name} points outside of its {bound} {name!r}")


def _build(cls: type[T], arrays: Mapping[str, np.ndarray], prefix: str) -> T:
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        if is_dataclass(hint):
            values[name] = _build(hint, arrays, f"{prefix}{name}.")  # type: ignore[arg-type]
        else:
            value = arrays.get(prefix + name)
            is_number = get_args(hint)[0] is float
            values[name] = float(value) if is_number and value is not None else value
    return cls(**values)
