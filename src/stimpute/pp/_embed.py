"""From protein sequences to vectors of a protein language model."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from ._embeddings import UNKNOWN, Embeddings, checked_suffix, shorten, write_embeddings
from ._esm import Encoder, Precision, clean_residues, load_encoder
from ._fasta import read_fasta
from ._partial import PartialVectors, digest
from ._windows import Pooling, Window, batches, cut


def embed_proteins(
    sequences: pd.DataFrame | Mapping[str, str] | str | os.PathLike[str],
    model: str | Path = "esm2_t33_650M_UR50D",
    *,
    output: str | os.PathLike[str] | None = None,
    pooling: Pooling = "mean",
    layer: int = -1,
    long_proteins: Literal["windows", "truncate", "whole"] = "windows",
    window: int = 1022,
    overlap: int = 256,
    tokens_per_batch: int = 8192,
    precision: Precision = "float32",
    device: str = "auto",
    progress: bool = True,
) -> Embeddings:
    r"""Turn protein sequences into vectors.

    With representations :math:`h_1 \dots h_L` of the residues, `pooling="mean"` gives :math:`\frac{1}{L}\sum_i h_i`
    and `pooling="last"` gives :math:`h_L`, as the tables published with stImpute have it. The marks of begin and
    end and the padding never count. Equal sequences are computed once.

    Parameters
    ----------
    sequences
        What :func:`fetch_proteins` or :func:`read_fasta` returns (genes without a sequence are left out), a mapping
        from gene to sequence, or a FASTA file. Letters that are no residue become X and are reported; a final `*`
        is dropped.
    model
        Any name of a language model of fair-esm, downloaded once, or the path of a checkpoint in its format.
    output
        `.npz` or `.h5ad` to write. While the run lasts, vectors are appended to `<output>.partial`; a killed run,
        called again, goes on from there, and a finished output is not computed again.
    pooling
        `"mean"` over residues, or the `"last"` residue.
    layer
        Layer to read; negative counts from the last.
    long_proteins
        What happens to proteins longer than `window`: overlapping `"windows"`, averaged where they overlap;
        `"truncate"` after the first; or `"whole"`, whose memory grows with the square of the length.
    window
        Most residues at once. ESM models were trained on 1022.
    overlap
        Least number of residues that neighbouring windows share.
    tokens_per_batch
        Size of a batch in tokens, padding included. Lower it if memory runs out.
    precision
        `"float32"`, or `"bf16"` or `"fp16"` inside; the output is float32.
    device
        `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, ...
    progress
        Whether to show a progress bar.

    Returns
    -------
    :class:`Embeddings`, genes in the order given.

    Raises
    ------
    ImportError
        If fair-esm is not installed.
    ValueError
        If an argument or sequence is not valid, or `output` was made with other settings.
    FloatingPointError
        If a vector is not finite, which `precision="fp16"` can lead to.

    Warns
    -----
    UserWarning
        If letters were replaced, or proteins were longer than `window`: they are listed.
    """
    path = Path(output) if output is not None else None
    if path:
        checked_suffix(path)
    _check(pooling, long_proteins, window, overlap, tokens_per_batch)
    table = _table(sequences)
    residues = _clean(table["sequence"])
    _tell_long(residues, long_proteins, window)
    encoder = load_encoder(model, device, precision)
    depth = _depth(layer, encoder.n_layers)
    settings = {
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "layer": depth,
        "pooling": pooling,
        "long_proteins": long_proteins,
        **({} if long_proteins == "whole" else {"window": window}),
        **({"overlap": overlap} if long_proteins == "windows" else {}),
        "precision": precision,
    }
    partial = PartialVectors(path, settings, width=encoder.module.embed_dim)  # type: ignore[arg-type]
    todo = sorted({s for s in residues if digest(s) not in partial.vectors}, key=lambda s: (-len(s), s))
    limit = None if long_proteins == "whole" else window
    options: dict[str, Any] = {
        "pooling": pooling,
        "window": limit,
        "overlap": overlap,
        "truncate": long_proteins == "truncate",
    }
    windows = [piece for number, s in enumerate(todo) for piece in cut(number, s, **options)]
    with tqdm(total=len(windows), desc=encoder.name, unit="window", disable=not progress) as bar:
        _run(encoder, depth, todo, sorted(windows, key=lambda w: -len(w.residues)), tokens_per_batch, partial, bar)

    names = residues.map(digest).to_numpy(dtype=np.str_)
    result = Embeddings(
        genes=residues.index.to_numpy(dtype=np.str_),
        embedding=np.stack([partial.vectors[name] for name in names]),
        accessions=table["accession"].to_numpy(dtype=np.str_),
        model=encoder.name,
        pooling=pooling,
        release=" ".join(sorted(set(table["release"]))),
        settings=settings,
        digests=names,
    )
    if path:
        write_embeddings(result, path)
        partial.remove()
    return result


def _run(
    encoder: Encoder,
    layer: int,
    sequences: Sequence[str],
    windows: Sequence[Window],
    tokens_per_batch: int,
    partial: PartialVectors,
    bar: tqdm,
) -> None:
    """Add up the windows of each protein, and keep a vector as soon as its last window is in."""
    left = Counter(window.protein for window in windows)
    sums: dict[int, NDArray[np.float32]] = {}
    for batch in batches(windows, tokens_per_batch):
        parts = encoder.pool([w.residues for w in batch], [w.weights for w in batch], layer)
        done: dict[str, NDArray[np.float32]] = {}
        for window, part in zip(batch, parts, strict=True):
            sums[window.protein] = sums.get(window.protein, np.float32(0)) + part
            left[window.protein] -= 1
            if not left[window.protein]:
                done[digest(sequences[window.protein])] = sums.pop(window.protein)
        if not all(np.isfinite(vector).all() for vector in done.values()):
            raise FloatingPointError(
                f"{encoder.name} gave NaN or infinity in {encoder.precision}; use precision='float32'."
            )
        partial.append(done)
        bar.update(len(batch))


def _check(pooling: str, long_proteins: str, window: int, overlap: int, tokens_per_batch: int) -> None:
    if pooling not in get_args(Pooling):
        raise ValueError(f"Found pooling={pooling!r}, expected 'mean' or 'last'.")
    if long_proteins not in ("windows", "truncate", "whole"):
        raise ValueError(f"Found long_proteins={long_proteins!r}, expected 'windows', 'truncate' or 'whole'.")
    if not 0 <= overlap < window:
        raise ValueError(f"Found window={window} and overlap={overlap}, expected 0 <= overlap < window.")
    if tokens_per_batch < 1:
        raise ValueError(f"Found tokens_per_batch={tokens_per_batch}, expected at least 1.")


def _depth(layer: int, n_layers: int) -> int:
    """Count a negative layer from the last."""
    depth = layer + n_layers + 1 if layer < 0 else layer
    if not 0 <= depth <= n_layers:
        raise ValueError(
            f"Found layer={layer}, expected {-n_layers - 1} to {n_layers}: the model has {n_layers} layers."
        )
    return depth


def _table(sequences: Any) -> pd.DataFrame:
    """Bring sequences into one table of genes that have one."""
    if isinstance(sequences, str | os.PathLike):
        sequences = read_fasta(sequences)
    if isinstance(sequences, Mapping):
        sequences = pd.DataFrame({"sequence": dict(sequences)})
    if not isinstance(sequences, pd.DataFrame) or "sequence" not in sequences:
        raise ValueError(
            f"Found a {type(sequences).__name__}, expected a table with a column 'sequence' indexed by gene, a mapping "
            "from gene to sequence, or a FASTA file; get one with stimpute.pp.fetch_proteins(genes)."
        )
    texts = sequences["sequence"].fillna("").astype(str)
    table = sequences.assign(sequence=texts)[texts.str.strip() != ""]
    twice = table.index[table.index.duplicated()].unique()
    if len(twice):
        raise ValueError(
            f"{len(twice)} genes have several sequences ({shorten(twice)}), expected one; keep one of each."
        )
    if table.empty:
        raise ValueError(
            f"None of {len(texts)} genes has a sequence; see the column 'status' of fetch_proteins' table."
        )
    return table.assign(**{name: fill for name, fill in (("accession", ""), ("release", UNKNOWN)) if name not in table})


def _clean(sequences: pd.Series) -> pd.Series:
    """Replace letters that are no residue, and list the genes where that happened."""
    pairs = [clean_residues(sequence) for sequence in sequences]
    cleaned = pd.Series([text for text, _ in pairs], index=sequences.index.astype(str))
    replaced = pd.Series([count for _, count in pairs], index=cleaned.index)
    if (cleaned == "").any():
        raise ValueError(f"Sequences without residues: {shorten(cleaned.index[cleaned == ''])}; drop these genes.")
    if replaced.any():
        hit = replaced[replaced > 0]
        text = (
            f"{hit.sum()} letters of {len(hit)} proteins are no residues and were replaced by X: {shorten(hit.index)}."
        )
        warnings.warn(text, UserWarning, stacklevel=3)
    return cleaned


def _tell_long(residues: pd.Series, long_proteins: str, window: int) -> None:
    long = residues[residues.str.len() > window]
    if len(long) and long_proteins != "whole":
        what = "cut into overlapping windows" if long_proteins == "windows" else "truncated"
        text = f"{len(long)} proteins are longer than {window} residues and are {what}: {shorten(long.index)}."
        warnings.warn(text, UserWarning, stacklevel=3)
