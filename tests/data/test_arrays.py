import io
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stimpute.data._arrays import Shape, declared_arrays, from_arrays, to_arrays
from stimpute.recipes import RECIPES


@dataclass(frozen=True)
class Scaling:
    mean: Annotated[np.ndarray, Shape("n_genes", about="mean of each gene")]
    total: Annotated[float, Shape(about="total count")]


@dataclass(frozen=True)
class Groups:
    scaling: Scaling
    group: Annotated[np.ndarray, Shape("n_cells", index_of="n_groups")]


@dataclass(frozen=True)
class Fit:
    groups: Groups
    levels: Annotated[np.ndarray, Shape(2, "n_groups")]
    probe: Annotated[np.ndarray | None, Shape("n_probe", "n_genes", about="some cells")]
    slope: Annotated[float, Shape()]


SIZES = {"n_genes": 3, "n_cells": 5}
GROUP = np.array([0, 1, 3, 3, 2])


def make_fit(**changes) -> Fit:
    groups = Groups(Scaling(np.arange(3.0), 7.5), GROUP)
    return replace(Fit(groups, np.ones((2, 4), np.float32), np.zeros((6, 3), np.float32), 0.25), **changes)


def through_a_file(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file) as loaded:
        return dict(loaded)


def test_nested_objects_are_the_same_after_a_round_trip_through_a_file():
    fit = make_fit()
    arrays = to_arrays(fit)
    assert set(arrays) == {
        "groups.scaling.mean",
        "groups.scaling.total",
        "groups.group",
        "levels",
        "probe",
        "slope",
    }
    again = from_arrays(Fit, through_a_file(arrays), SIZES)
    assert isinstance(again.groups.scaling, Scaling)
    np.testing.assert_array_equal(again.groups.scaling.mean, fit.groups.scaling.mean)
    np.testing.assert_array_equal(again.groups.group, GROUP)
    np.testing.assert_array_equal(again.levels, fit.levels)
    assert again.levels.dtype == np.float32
    assert again.probe.shape == (6, 3)
    assert (again.groups.scaling.total, again.slope) == (7.5, 0.25)
    assert type(again.slope) is float
    with pytest.raises(FrozenInstanceError):
        again.slope = 1.0


def test_a_field_that_is_none_is_left_out_and_comes_back_as_none():
    arrays = to_arrays(make_fit(probe=None))
    assert "probe" not in arrays
    assert from_arrays(Fit, arrays, SIZES).probe is None


@pytest.mark.parametrize("number", [2, 2.0, np.float32(2), np.float64(2), np.int64(2), np.array(2.0), np.bool_(True)])
def test_numbers_of_any_type_come_back_as_float(number):
    again = from_arrays(Fit, to_arrays(make_fit(slope=number)), SIZES)
    assert type(again.slope) is float
    assert again.slope == float(number)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=1), elements=st.floats(-1e6, 1e6, width=32)),
    st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_finite_values_survive(mean, total):
    again = from_arrays(Scaling, through_a_file(to_arrays(Scaling(mean, total))), {})
    np.testing.assert_array_equal(again.mean, mean)
    assert again.total == total


def test_the_sizes_that_are_given_are_not_changed():
    sizes = dict(SIZES)
    from_arrays(Fit, to_arrays(make_fit()), sizes)
    assert sizes == SIZES


def test_sizes_that_are_not_known_are_taken_from_the_first_array():
    assert from_arrays(Fit, to_arrays(make_fit()), {}).probe.shape == (6, 3)


DAMAGE = {
    "missing": ("levels", None, "the array 'levels' is missing"),
    "nested and missing": ("groups.scaling.mean", None, "the array 'groups.scaling.mean' is missing"),
    "unknown": ("groups.extra", np.ones(2), "unknown array 'groups.extra'"),
    "another number of dimensions": ("levels", np.ones(4), r"levels has shape \(4,\), expected \(2, 'n_groups'\)"),
    "a number with a dimension": ("slope", np.ones(1), r"slope has shape \(1,\)"),
    "another fixed size": ("levels", np.ones((3, 4)), r"levels has shape \(3, 4\), expected 2 for 2"),
    "another size than known": ("groups.group", np.zeros(4, int), r"groups.group has shape .*expected 5 for 'n_cells'"),
    "two sizes of one name": ("probe", np.ones((6, 2)), r"probe has shape \(6, 2\), expected 3 for 'n_genes'"),
    "not a number": ("groups.scaling.mean", np.array([0, np.nan, 1]), "groups.scaling.mean has values .* not finite"),
    "infinite": ("slope", np.array(np.inf), "slope has values that are not finite"),
    "an index that is too large": ("groups.group", GROUP + 1, r"groups.group points outside of its 4 'n_groups'"),
    "a negative index": ("groups.group", GROUP - 1, "groups.group points outside"),
    "an index that is not an integer": ("groups.group", GROUP.astype(float), "groups.group should hold positions"),
    "an index that is a boolean": ("groups.group", GROUP > 1, "groups.group should hold positions"),
    "objects": ("levels", np.ones((2, 4), object), "levels holds values of type object, expected numbers"),
    "text": ("levels", np.full((2, 4), "1"), "levels holds values of type <U1, expected numbers"),
    "complex numbers": ("slope", np.array(1j), "slope holds values of type complex128"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_refused_and_the_array_is_named(damage):
    name, value, message = DAMAGE[damage]
    arrays = to_arrays(make_fit())
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(ValueError, match=message):
        from_arrays(Fit, arrays, SIZES)


@given(st.sampled_from(sorted(to_arrays(make_fit()))), st.integers(0, 2), st.integers(1, 3))
def test_an_array_with_rows_too_many_is_refused(name, axis, n_more):
    arrays = to_arrays(make_fit())
    array = arrays[name]
    if axis >= array.ndim:
        array = np.expand_dims(array, tuple(range(array.ndim, axis + 1)))
    arrays[name] = np.concatenate([array] * (n_more + 1), axis=axis)
    if name == "probe" and axis == 0:  # the only array with `n_probe`: any number is right
        assert len(from_arrays(Fit, arrays, SIZES).probe) == 6 * (n_more + 1)
        return
    if name == "levels" and axis == 1:  # more groups than any cell belongs to are no damage
        return
    with pytest.raises(ValueError, match=f"{name} has shape"):
        from_arrays(Fit, arrays, SIZES)


def test_an_index_into_an_unknown_dimension_is_refused():
    @dataclass(frozen=True)
    class Index:
        group: Annotated[np.ndarray, Shape("n_cells", index_of="n_groups")]

    with pytest.raises(ValueError, match="positions among 'n_groups'"):
        from_arrays(Index, {"group": GROUP}, {})
    assert from_arrays(Index, {"group": GROUP}, {"n_groups": 4}).group.tolist() == GROUP.tolist()


def test_an_empty_index_points_nowhere():
    scaling = Groups(Scaling(np.ones(3), 1.0), np.empty(0, int))
    assert len(from_arrays(Groups, to_arrays(scaling), {"n_groups": 0}).group) == 0


def test_declarations_tell_name_shape_and_type():
    declared = {entry.name: entry for entry in declared_arrays(Fit)}
    assert list(declared) == list(to_arrays(make_fit()))
    assert declared["probe"].optional
    assert [name for name, entry in declared.items() if entry.optional] == ["probe"]
    assert declared["probe"].shape.dimensions == ("n_probe", "n_genes")
    assert declared["probe"].shape.about == "some cells"
    assert declared["groups.group"].shape.index_of == "n_groups"
    assert (declared["slope"].kind, declared["probe"].kind) == (float, np.ndarray)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_what_a_recipe_learns_is_declared(name):
    declared = list(declared_arrays(RECIPES[name].fit_type))
    assert declared
    for entry in declared:
        assert isinstance(entry.shape, Shape)
        assert entry.kind in (np.ndarray, float)
        assert entry.shape.about  # for the table of what travels with a model
