"""Recognize a reference by digests of its genes, expression and relations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from stimpute.data._expression import ExpressionMatrix

if TYPE_CHECKING:
    from stimpute.data._relations import Relation

FINGERPRINT_PARTS = ("names of genes", "cells or expression", "gene relations", "which cells are of which data set")
OTHER_FORM = "the form of the fingerprint: another version of stimpute computed that of the model"
GENES_PER_BLOCK = 1024


def expression_digest(matrix: ExpressionMatrix) -> str:
    """Compute a digest of the names of the genes and one of expression, joined by a hyphen.

    They depend neither on the order of the genes nor on how the matrix is stored. They are of the values as given,
    since the last bits of log-normalized values differ between machines.
    """
    order = _by_name(matrix.genes)
    columns = sparse.csc_matrix(matrix.values)
    columns.sum_duplicates()
    columns.eliminate_zeros()
    n_values = np.diff(columns.indptr)[order]
    blocks = [order[start : start + GENES_PER_BLOCK] for start in range(0, len(order), GENES_PER_BLOCK)]
    names = _new_digest()
    names.update("\n".join(matrix.genes[order].astype(str)).encode())
    digest = _new_digest()
    digest.update(np.int64(matrix.values.shape[0]).tobytes())
    digest.update(np.append(0, np.cumsum(n_values)).astype(np.int64).tobytes())
    for genes in blocks:
        digest.update(columns[:, genes].indices.astype(np.int64).tobytes())
    for genes in blocks:
        digest.update(columns[:, genes].data.astype(np.float32).tobytes())
    return f"{names.hexdigest()}-{digest.hexdigest()}"


def fingerprint(
    expression: str, genes: pd.Index, relations: Mapping[str, Relation], dataset: np.ndarray | None = None
) -> str:
    """Compute a digest of a reference, from :func:`expression_digest`, its relations and datasets.

    It has a part for each of :data:`FINGERPRINT_PARTS`.
    """
    of_relations = _new_digest()
    for name, relation in sorted(relations.items()):
        of_relations.update(name.encode())
        for part in relation.digest_parts(_by_name(genes)):
            of_relations.update(part)
    of_datasets = _new_digest()
    if dataset is not None:
        of_datasets.update(dataset.astype(np.int64).tobytes())
    return "-".join([expression, of_relations.hexdigest(), of_datasets.hexdigest()])


def differing_parts(found: str, expected: str) -> list[str]:
    """Name the parts in which two fingerprints differ.

    With other genes nothing else can be compared, and with a fingerprint of another form nothing at all.
    """
    if found.count("-") != expected.count("-"):
        return [OTHER_FORM]
    pairs = zip(FINGERPRINT_PARTS, found.split("-"), expected.split("-"), strict=True)
    differing = [name for name, part, other in pairs if part != other]
    return differing[:1] if FINGERPRINT_PARTS[0] in differing else differing


def _by_name(genes: pd.Index) -> np.ndarray:
    return np.argsort(genes.to_numpy().astype(str))


def _new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=8)
