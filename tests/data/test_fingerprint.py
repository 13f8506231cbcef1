"""Digests that tell in what two references differ; what they depend on is in `test_reference.py`."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from stimpute.data import _fingerprint
from stimpute.data._expression import ExpressionMatrix
from stimpute.data._fingerprint import FINGERPRINT_PARTS, differing_parts, expression_digest

NAMES = pd.Index(["b", "a", "c", "e", "d"])


class Related:
    """A relation by any bytes."""

    def __init__(self, *parts):
        self.parts = parts

    def digest_parts(self, order):
        return self.parts


def fingerprint(values=(2.0, 0.5, 3), names=NAMES, relations=None, dataset=(0, 0, 1, 1)):
    x = sparse.csr_matrix((values, ([0, 3, 1], [0, 1, 4])), shape=(4, len(names)))
    digest = expression_digest(ExpressionMatrix(x, names, is_counts=False))
    return _fingerprint.fingerprint(digest, names, relations or {"net": Related(b"1")}, np.array(dataset))


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({}, []),
        ({"names": NAMES.str.upper()}, [0]),
        ({"names": NAMES.str.upper(), "values": (1, 1, 1), "dataset": (0, 1, 0, 1)}, [0]),
        ({"values": (2.0, 0.5, 4)}, [1]),
        ({"relations": {"net": Related(b"1", b"2")}}, [2]),
        ({"relations": {"other": Related(b"1")}}, [2]),
        ({"dataset": (0, 1, 1, 1)}, [3]),
        ({"values": (1, 0.5, 3), "dataset": (0, 1, 1, 1)}, [1, 3]),
    ],
)
def test_the_parts_that_differ_are_named(change, differing):
    expected = [FINGERPRINT_PARTS[part] for part in differing]
    assert differing_parts(fingerprint(**change), fingerprint()) == expected


def test_references_of_models_that_were_saved_earlier_are_recognized():
    """The digests must never change, nor depend on the machine."""
    expected = "ec092a883db9552e-f883b7476193eaa9-e30df9a44f8948cb-83cef50b762121af"
    assert fingerprint() == expected


def test_the_digest_does_not_depend_on_the_size_of_blocks(monkeypatch):
    expected = fingerprint()
    monkeypatch.setattr(_fingerprint, "GENES_PER_BLOCK", 2)
    assert fingerprint() == expected
