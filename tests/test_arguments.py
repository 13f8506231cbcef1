"""Arguments are compared with the signature; the calls of the package are tested in test_bad_input.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from anndata import AnnData

from stimpute._arguments import check_arguments

if TYPE_CHECKING:
    from fractions import Fraction

Axis = Literal["gene", "cell"]


def function(
    path: str | Path = "x",
    genes: str | Sequence[str] | None = None,
    axis: Axis = "gene",
    n: int | None = None,
    sizes: Sequence[float] = (),
    share: float = 0.5,
    flag: bool = False,
    title: str = "",
    adata: AnnData | None = None,
    setup: Mapping[str, Any] | None = None,
    later: Fraction | None = None,
    array: np.ndarray | None = None,
    anything: Any = None,
    bare=None,
    *args: int,
    **kwargs: int,
) -> None:
    check_arguments(function, locals(), but=("title",))


def later():
    """An instance of a class that only type checkers import."""
    from fractions import Fraction

    return Fraction(1, 2)


GOOD = [
    {"path": Path("x"), "genes": "A", "axis": "cell", "n": np.int64(3), "sizes": (1.0,), "share": 1, "flag": np.True_},
    {"genes": np.array(["A"]), "sizes": [], "share": np.float32(0.5), "adata": AnnData(), "setup": {}},
    {"later": later(), "array": [1], "anything": object(), "bare": object(), "title": 5, "other": "text"},
]
BAD = [
    ({"path": 5}, TypeError, "`path` is 5; expected a path."),
    ({"path": None}, TypeError, "`path` is None; expected a path."),
    ({"genes": 5}, TypeError, "`genes` is 5; expected text or a list of names."),
    ({"axis": "rows"}, ValueError, '`axis` is \'rows\'; expected "gene" or "cell".'),
    ({"axis": 1}, TypeError, '`axis` is 1; expected "gene" or "cell".'),
    ({"n": 1.5}, TypeError, "`n` is 1.5; expected an integer."),
    ({"n": True}, TypeError, "`n` is True; expected an integer."),
    ({"sizes": "12"}, TypeError, "`sizes` is '12'; expected a list of numbers."),
    ({"share": "half"}, TypeError, "`share` is 'half'; expected a number."),
    ({"share": "h" * 99}, TypeError, "`share` is a str; expected a number."),
    ({"flag": 1}, TypeError, "`flag` is 1; expected True or False."),
    ({"adata": "x.h5ad"}, TypeError, "`adata` is a str; expected an AnnData. Read files with `anndata.read_h5ad`."),
    ({"adata": 5}, TypeError, "`adata` is an int; expected an AnnData."),
    ({"setup": [1]}, TypeError, "`setup` is a list; expected a Mapping."),
    ({"later": 0.5}, TypeError, "`later` is a float; expected a Fraction."),
]


@pytest.mark.parametrize("arguments", GOOD)
def test_what_the_signature_names_passes(arguments):
    function(**arguments)


@pytest.mark.parametrize(("arguments", "error", "message"), BAD)
def test_what_it_does_not_name_is_told(arguments, error, message):
    with pytest.raises(error) as caught:
        function(**arguments)
    assert str(caught.value) == message
