"""Hold, read and write protein vectors."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray

from stimpute._messages import name_list
from stimpute.pp._embedding_files import UNKNOWN, fields_of_anndata, read_fields, write_fields
from stimpute.pp._gene_names import check_gene_names

PER_GENE = ("accessions", "digests")


@dataclass(frozen=True, eq=False)
class ProteinEmbeddings:
    """Protein vectors of genes, and their origin.

    Parameters
    ----------
    genes
        Unique gene names, shape (n_genes,).
    embedding
        Finite vectors, float32, shape (n_genes, n_dimensions).
    accessions
        Accession of the protein of each gene, shape (n_genes,); empty strings where unknown.
    model, pooling, release
        Language model, pooling over residues, and release of the sequences.
    settings
        Settings of :func:`embed_proteins` that determine the numbers.
    digests
        Digest of each embedded sequence, shape (n_genes,), by which :func:`embed_proteins` recognizes vectors that it
        can reuse; empty strings where unknown.

    Raises
    ------
    ValueError
        If shapes disagree, a gene name is missing or repeated, or a vector is not finite.
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
        if np.ndim(self.genes) != 1 or not len(self.genes):
            raise ValueError(
                f"The embeddings have gene names of shape {np.shape(self.genes)}; expected a list of at least one name."
            )
        genes = check_gene_names(self.genes, "the embeddings")
        # A frozen dataclass can only be completed in this way.
        object.__setattr__(self, "genes", genes.to_numpy(dtype=np.str_))
        object.__setattr__(self, "embedding", np.asarray(self.embedding, dtype=np.float32))
        for name in PER_GENE:
            values = np.asarray(getattr(self, name), dtype=np.str_)
            if not len(values):
                values = np.full(len(genes), "")
            object.__setattr__(self, name, values)
        self._check()

    def _check(self) -> None:
        n_genes = len(self.genes)
        lengths = {len(self.accessions), len(self.digests), *self.embedding.shape[:1]}
        if self.embedding.ndim != 2 or lengths != {n_genes}:
            raise ValueError(
                f"Found {n_genes} genes, an embedding of shape {self.embedding.shape}, {len(self.accessions)} "
                f"accessions and {len(self.digests)} digests; expected one row per gene."
            )
        repeated = pd.unique(self.genes[pd.Series(self.genes).duplicated()])
        if len(repeated):
            raise ValueError(
                f"{len(repeated)} genes occur more than once ({name_list(repeated)}); keep one vector per gene."
            )
        broken = self.genes[~np.isfinite(self.embedding).all(axis=1)]
        if len(broken):
            raise ValueError(
                f"{len(broken)} genes have NaN or infinite vectors ({name_list(broken)}); drop or re-embed them."
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read protein vectors from a file.

        Parameters
        ----------
        path
            A `.npz` file with the arrays `genes`, shape (n_genes,), and `embedding`, shape (n_genes, n_dimensions), and
            optionally `accessions`, `model`, `pooling` and `release`; or a `.h5ad` file with one gene per row: vectors
            in `X`, optionally `obs["accession"]` and the rest in `uns`.

        Returns
        -------
        :class:`ProteinEmbeddings`.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        KeyError
            If a `.npz` file lacks one of the two arrays.
        ValueError
            If the file is neither, is damaged, does not hold one vector per gene, has vectors of more than 4 GiB, or is
            a `.npz` with pickled objects (which are never loaded).
        """
        return cls(**read_fields(Path(path)))

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write protein vectors to a file that :meth:`read` can read; an existing file is replaced in one step.

        Parameters
        ----------
        path
            Name of the file; must end in `.npz` or `.h5ad`. Missing folders are made.

        Returns
        -------
        The path.

        Raises
        ------
        ValueError
            If the name has another ending.
        """
        return write_fields(vars(self), Path(path))


def as_embeddings(source: Any) -> ProteinEmbeddings:
    """Return protein vectors from a path, :class:`ProteinEmbeddings`, an AnnData or a mapping from gene to vector."""
    if isinstance(source, ProteinEmbeddings):
        return source
    if isinstance(source, AnnData):
        return ProteinEmbeddings(**fields_of_anndata(source))
    if isinstance(source, Mapping):
        return _from_mapping(source)
    if isinstance(source, str | os.PathLike):
        return ProteinEmbeddings.read(source)
    raise TypeError(
        f"`embeddings` is a {type(source).__name__}; expected the path of a .npz or .h5ad file, ProteinEmbeddings, an "
        "AnnData with one gene per row, or a mapping from gene to vector."
    )


def _from_mapping(vectors: Mapping[str, ArrayLike]) -> ProteinEmbeddings:
    rows = [np.asarray(vector, dtype=np.float32) for vector in vectors.values()]
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or rows[0].ndim != 1:
        raise ValueError(f"Found vectors of shapes {sorted(shapes)}; expected one length for all genes.")
    return ProteinEmbeddings(list(vectors), np.stack(rows))  # type: ignore[arg-type]
