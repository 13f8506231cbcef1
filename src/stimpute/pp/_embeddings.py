"""The cache of protein vectors: one small format, as `.npz` or `.h5ad`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData, read_h5ad
from numpy.typing import ArrayLike, NDArray

UNKNOWN = "unknown"
_PER_GENE = ("accessions", "digests")
_TEXTS = ("model", "pooling", "release")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Protein vectors of genes, and where they come from.

    Parameters
    ----------
    genes
        Gene names [n], unique.
    embedding
        Vectors [n, d], finite, float32.
    accessions
        Accession of each gene's protein [n]; empty strings where unknown.
    model, pooling, release
        Language model, pooling over residues, and release of the sequences.
    settings
        Everything that decided the numbers, when :func:`embed_proteins` made them.
    digests
        Digest of each embedded sequence [n], by which a later call knows what it can reuse; empty strings where
        unknown.

    Raises
    ------
    ValueError
        If shapes disagree, a gene occurs twice, or a vector is not finite.
    """

    genes: NDArray[np.str_]
    embedding: NDArray[np.float32]
    accessions: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    model: str = UNKNOWN
    pooling: str = UNKNOWN
    release: str = UNKNOWN
    settings: Mapping[str, Any] = field(default_factory=dict)
    digests: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))

    def __post_init__(self) -> None:
        set_ = lambda name, value: object.__setattr__(self, name, value)  # the way into a frozen dataclass
        set_("genes", np.asarray(self.genes, dtype=np.str_))
        set_("embedding", np.asarray(self.embedding, dtype=np.float32))
        for name in _PER_GENE:
            value = np.asarray(getattr(self, name), dtype=np.str_)
            set_(name, value if len(value) else np.full(len(self.genes), ""))
        self._validate()

    def _validate(self) -> None:
        n = len(self.genes)
        if n == 0:
            raise ValueError("Found no genes, expected at least one with its vector.")
        if (
            self.embedding.ndim != 2
            or len(self.embedding) != n
            or any(len(getattr(self, name)) != n for name in _PER_GENE)
        ):
            raise ValueError(
                f"Found {n} genes, an embedding of shape {self.embedding.shape}, {len(self.accessions)} accessions and "
                f"{len(self.digests)} digests, expected one row per gene; pass genes [n] and embedding [n, d]."
            )
        twice = pd.unique(self.genes[pd.Series(self.genes).duplicated()])
        if len(twice):
            raise ValueError(f"{len(twice)} genes occur more than once ({shorten(twice)}); keep one vector per gene.")
        broken = self.genes[~np.isfinite(self.embedding).all(axis=1)]
        if len(broken):
            raise ValueError(
                f"{len(broken)} genes have NaN or infinite vectors ({shorten(broken)}); drop or re-embed them."
            )


def read_embeddings(source: Any) -> Embeddings:
    """Read protein vectors from a file, or take them as they are.

    Parameters
    ----------
    source
        A `.npz` (arrays `genes` [n] and `embedding` [n, d]; optional `accessions`, `model`, `pooling`, `release`),
        a `.h5ad` or AnnData (genes in `obs_names`, vectors in `X`, `obs["accession"]`, the rest in `uns`), a
        mapping from gene to vector, a pair (genes, matrix), or :class:`Embeddings`.

    Returns
    -------
    :class:`Embeddings`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the content is not one vector per gene, or a `.npz` holds pickled objects, which are never loaded.
    """
    if isinstance(source, Embeddings):
        return source
    if isinstance(source, AnnData):
        return _from_anndata(source)
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, tuple) and len(source) == 2:
        return Embeddings(genes=np.asarray(source[0]), embedding=np.asarray(source[1]))
    if not isinstance(source, str | os.PathLike):
        raise ValueError(
            f"Found a {type(source).__name__}, expected a path to .npz or .h5ad, AnnData, a mapping from gene to "
            "vector, or (genes, matrix)."
        )
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(
            f"No embeddings at {path}; make them with stimpute.pp.embed_proteins(..., output={str(path)!r})."
        )
    return {".npz": _read_npz, ".h5ad": lambda p: _from_anndata(read_h5ad(p))}[checked_suffix(path)](path)


def write_embeddings(embeddings: Embeddings, path: str | os.PathLike[str]) -> Path:
    """Write protein vectors in the format of :func:`read_embeddings`, replacing the file at once or not at all.

    Parameters
    ----------
    embeddings
        The vectors.
    path
        A file name that ends in `.npz` or `.h5ad`.

    Returns
    -------
    The path.

    Raises
    ------
    ValueError
        If the name ends otherwise.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{checked_suffix(path)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    texts: dict[str, Any] = {name: getattr(embeddings, name) for name in _TEXTS}
    texts["settings"] = json.dumps(dict(embeddings.settings))
    if path.suffix == ".npz":
        per_gene = {name: getattr(embeddings, name) for name in ("genes", "embedding", *_PER_GENE)}
        np.savez(temporary, allow_pickle=False, **per_gene, **texts)
    else:
        obs = pd.DataFrame({"accession": embeddings.accessions, "digest": embeddings.digests}, index=embeddings.genes)
        AnnData(X=embeddings.embedding, obs=obs, uns=texts).write_h5ad(temporary)
    os.replace(temporary, path)
    return path


def checked_suffix(path: Path) -> str:
    """Return `.npz` or `.h5ad`, or say that the name has neither."""
    if path.suffix not in {".npz", ".h5ad"}:
        raise ValueError(f"Found {path.name!r}, expected a name that ends in .npz or .h5ad.")
    return path.suffix


def shorten(names: ArrayLike, most: int = 8) -> str:
    """List the first few names, and how many more there are."""
    items = [str(name) for name in np.asarray(names).ravel()]
    return ", ".join(items[:most]) + (f", ... {len(items) - most} more" if len(items) > most else "")


def _read_npz(path: Path) -> Embeddings:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except ValueError as error:
        raise ValueError(
            f"{path} holds pickled objects or is not a .npz; pickles can run code and are not loaded. Save names as "
            "text: np.savez(path, genes=np.asarray(genes, dtype=str), embedding=matrix)."
        ) from error
    missing = {"genes", "embedding"} - arrays.keys()
    if missing:
        raise ValueError(f"{path} has arrays {sorted(arrays)}, expected 'genes' [n] and 'embedding' [n, d].")
    texts: dict[str, Any] = {name: str(arrays[name]) for name in _TEXTS if name in arrays}
    per_gene = {name: arrays[name] for name in _PER_GENE if name in arrays}
    settings = json.loads(str(arrays.get("settings", "{}")))
    return Embeddings(arrays["genes"], arrays["embedding"], settings=settings, **texts, **per_gene)


def _from_anndata(adata: AnnData) -> Embeddings:
    dense = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    texts: dict[str, Any] = {name: str(adata.uns[name]) for name in _TEXTS if name in adata.uns}
    columns = {"accession": "accessions", "digest": "digests"}
    per_gene = {
        name: adata.obs[column].astype(str).to_numpy() for column, name in columns.items() if column in adata.obs
    }
    settings = json.loads(adata.uns.get("settings", "{}"))
    return Embeddings(adata.obs_names.to_numpy(), dense, settings=settings, **texts, **per_gene)


def _from_mapping(vectors: Mapping[str, ArrayLike]) -> Embeddings:
    rows = [np.asarray(vector, dtype=np.float32) for vector in vectors.values()]
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise ValueError(f"Found vectors of shapes {sorted(shapes)}, expected one length [d] for every gene.")
    return Embeddings(np.asarray(list(vectors)), np.stack(rows))
