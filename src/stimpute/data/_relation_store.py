"""Store relations between genes in the reference AnnData: the only file that knows where they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from scipy import sparse

from stimpute._messages import missing_key

COEXPRESSION = "coexpression"  # always available: computed from the expression, stored nowhere
PROTEIN = "protein"  # default name of a relation by protein vectors
POOLING = "pooling"  # detail that relations by protein vectors have, under any name
ADVICE = (
    "Call `stimpute.pp.add_protein_embeddings(reference, path)` for proteins, or "
    "`stimpute.pp.add_gene_network(reference, edges, name)` for edges of your own."
)

Kind = Literal["vectors", "edges"]


@dataclass(frozen=True)
class StoredRelation:
    """A relation as it is stored in the reference.

    Vectors are in `varm[name]`, edges in `varp[name]`; `var["has_<name>"]` says which genes have any; the record is in
    `uns["stimpute"]["relations"][name]`.

    Attributes
    ----------
    name
        Name of the relation.
    kind
        `"vectors"` of genes, compared by cosine, or `"edges"` with weights.
    values
        Vectors, shape (n_genes, n_dimensions), or edge weights, CSR, shape (n_genes, n_genes): the gene of a row
        receives messages from the genes of the columns.
    has_values
        Whether a gene has a vector, or an edge, shape (n_genes,).
    details
        Origin and coverage: plain numbers and text.
    """

    name: str
    kind: Kind
    values: np.ndarray | sparse.csr_matrix
    has_values: np.ndarray
    details: Mapping[str, Any] = field(default_factory=dict)


def relation_names(reference: AnnData) -> list[str]:
    """List the relations of a reference, co-expression first, then the stored ones by name."""
    return [COEXPRESSION, *sorted(set(_records(reference)) - {COEXPRESSION})]


def write_relation(reference: AnnData, relation: StoredRelation) -> None:
    """Store a relation, replacing one of the same name.

    Raises
    ------
    ValueError
        If the name is that of the built-in co-expression.
    """
    name = relation.name
    if name == COEXPRESSION:
        raise ValueError(f"{COEXPRESSION!r} is the model's own relation. Give yours another name.")
    delete_relation(reference, name)
    if relation.kind == "vectors":
        reference.varm[name] = np.asarray(relation.values, dtype=np.float32)
    else:
        reference.varp[name] = sparse.csr_matrix(relation.values)
    reference.var[f"has_{name}"] = relation.has_values
    details = {key: value for key, value in relation.details.items() if value is not None}
    _write_records(reference, {**_records(reference), name: {**details, "kind": relation.kind}})


def read_relation(reference: AnnData, name: str) -> StoredRelation:
    """Read a stored relation.

    Raises
    ------
    KeyError
        If the reference has no such relation, or its arrays are gone.
    """
    records = _records(reference)
    if name not in records:
        raise KeyError(f"The reference has no relation {name!r}; it has {relation_names(reference)}. {ADVICE}")
    details = dict(records[name])
    kind = details.pop("kind")
    slot = reference.varm if kind == "vectors" else reference.varp
    if name not in slot:
        raise missing_key(name, f"reference.{'varm' if kind == 'vectors' else 'varp'}", slot.keys(), ADVICE)
    if f"has_{name}" not in reference.var:
        raise missing_key(f"has_{name}", "reference.var", reference.var.columns, ADVICE)
    values = np.asarray(slot[name]) if kind == "vectors" else sparse.csr_matrix(slot[name])
    has_values = reference.var[f"has_{name}"].to_numpy(dtype=bool)
    return StoredRelation(name, kind, values, has_values, details)


def has_protein(reference: AnnData, names: Sequence[str]) -> np.ndarray:
    """Tell which genes have a protein vector, in the relation `protein` or in some others, shape (n_genes,)."""
    of_proteins = [name for name in names if POOLING in _records(reference).get(name, {})]
    found = np.zeros(reference.n_vars, dtype=bool)
    for name in {PROTEIN, *of_proteins}:
        if f"has_{name}" in reference.var:
            found |= reference.var[f"has_{name}"].to_numpy(dtype=bool)
    return found


def delete_relation(reference: AnnData, name: str) -> None:
    """Remove a stored relation and everything that belongs to it; do nothing if there is none."""
    records = dict(_records(reference))
    if records.pop(name, None) is None:
        return
    _write_records(reference, records)
    for slot in (reference.varm, reference.varp):
        if name in slot:
            del slot[name]
    if f"has_{name}" in reference.var:
        del reference.var[f"has_{name}"]


def copy_relations(source: AnnData, target: AnnData, names: list[str]) -> None:
    """Copy some stored relations from one AnnData to another with the same genes."""
    for name in names:
        if name != COEXPRESSION:
            write_relation(target, read_relation(source, name))


def _records(reference: AnnData) -> Mapping[str, Any]:
    return reference.uns.get("stimpute", {}).get("relations", {})


def _write_records(reference: AnnData, records: Mapping[str, Any]) -> None:
    """Replace the records; never in place, since a view shares them with its parent."""
    reference.uns["stimpute"] = {**reference.uns.get("stimpute", {}), "relations": dict(records)}
