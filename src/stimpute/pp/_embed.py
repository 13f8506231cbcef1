"""Embed protein sequences with a protein language model."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm.auto import tqdm

from stimpute._arguments import check_arguments
from stimpute._messages import check_count
from stimpute.pp._embedding_files import check_suffix
from stimpute.pp._embeddings import ProteinEmbeddings
from stimpute.pp._esm import Encoder, Precision, load_encoder
from stimpute.pp._partial import PartialVectors, digest
from stimpute.pp._sequences import clean, sequence_table, warn_of_long
from stimpute.pp._windows import LongProteins, Pooling, Window, WindowRule, batches


def embed_proteins(
    sequences: pd.DataFrame | Mapping[str, str] | str | os.PathLike[str],
    model: str | Path = "esm2_t33_650M_UR50D",
    *,
    output: str | os.PathLike[str] | None = None,
    pooling: Pooling = "mean",
    layer: int = -1,
    long_proteins: LongProteins = "windows",
    window: int = 1022,
    overlap: int = 256,
    tokens_per_batch: int = 8192,
    precision: Precision = "float32",
    device: str = "auto",
    progress: bool = True,
) -> ProteinEmbeddings:
    r"""Embed protein sequences as vectors.

    With representations :math:`h_1 \dots h_L` of the residues, `pooling="mean"` gives :math:`\frac{1}{L}\sum_i h_i` and
    `pooling="last"` gives :math:`h_L`, as in the tables published with stImpute. The BOS and EOS tokens and the padding
    are left out. Equal sequences are computed once.

    Parameters
    ----------
    sequences
        Result of :func:`fetch_proteins` or :func:`read_fasta` (genes without a sequence are left out), a mapping from
        gene to sequence, or the path of a FASTA file. Non-residue characters are replaced by X and reported; a final
        `*` is removed.
    model
        Name of a language model of fair-esm, which is downloaded once, or the path of a checkpoint in its format.
    output
        `.npz` or `.h5ad` file to write. During the run, vectors are appended to `<output>.partial`: after an
        interruption, repeat the call to continue. Vectors of a finished output are not computed again.
    pooling
        `"mean"` over residues, or the `"last"` residue.
    layer
        Layer to read; negative numbers count from the last.
    long_proteins
        What to do with proteins longer than `window`: cut them into overlapping `"windows"`, averaged where they
        overlap; `"truncate"` them; or embed them as a `"whole"`, with memory that grows with the square of the length.
    window
        Maximum number of residues in a window. ESM models were trained on 1022.
    overlap
        Minimum number of residues that neighboring windows share.
    tokens_per_batch
        Number of tokens per batch, padding included. Lower it if memory runs out.
    precision
        `"float32"`, `"bf16"` or `"fp16"` inside the model. The result is float32.
    device
        `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, ...
    progress
        Whether to draw a progress bar.

    Returns
    -------
    :class:`ProteinEmbeddings`, with genes in the given order.

    Raises
    ------
    ConnectionError
        If the weights of the model are not on this computer and cannot be downloaded.
    FileNotFoundError
        If the FASTA file or the checkpoint does not exist.
    FloatingPointError
        If a vector is not finite, which can happen with `precision="fp16"`.
    ImportError
        If fair-esm is not installed.
    KeyError
        If the table has no column `sequence`.
    TypeError
        If `sequences` is neither a table, a mapping nor a path.
    ValueError
        If another argument or a sequence is not valid, or `output` was made with other settings.

    Warns
    -----
    UserWarning
        If characters were replaced, or proteins are longer than `window`. The genes are listed.

    Examples
    --------
    >>> vectors = stimpute.pp.embed_proteins(proteins, output="proteins.h5ad")
    >>> stimpute.pp.add_protein_embeddings(reference, vectors)
    """
    check_arguments(embed_proteins, locals(), but=("sequences", "pooling", "long_proteins", "precision"))
    path = None if output is None else Path(output)
    if path:
        check_suffix(path)
    rule = WindowRule(pooling, long_proteins, window, overlap)
    check_count(1, tokens_per_batch=tokens_per_batch)
    table = sequence_table(sequences)
    residues = clean(table["sequence"])
    warn_of_long(residues, rule)
    encoder = load_encoder(model, device, precision, progress)
    depth = _layer_number(layer, encoder.n_layers)
    settings = {
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "layer": depth,
        "precision": precision,
        **rule.settings(),
    }
    partial = PartialVectors(path, settings, encoder.width)
    digests = [digest(sequence) for sequence in residues]
    missing = {sequence for sequence in residues if digest(sequence) not in partial.vectors}
    _embed(encoder, depth, sorted(missing), rule, tokens_per_batch, partial, progress)

    result = ProteinEmbeddings(
        genes=residues.index.to_numpy(),
        embedding=np.stack([partial.vectors[name] for name in digests]),
        accessions=table["accession"].to_numpy(dtype=np.str_),
        model=encoder.name,
        pooling=pooling,
        release=" ".join(sorted(set(table["release"]))),
        settings=settings,
        digests=np.array(digests),
    )
    if path:
        result.write(path)
        partial.remove()
    return result


def _embed(
    encoder: Encoder,
    layer: int,
    sequences: Sequence[str],
    rule: WindowRule,
    tokens_per_batch: int,
    partial: PartialVectors,
    progress: bool,
) -> None:
    """Embed sequences window by window; store the vector of a protein as soon as its last window is computed."""
    windows: list[Window] = []
    for number, sequence in enumerate(sequences):
        windows += rule.cut(number, sequence)
    # Windows of similar length share a batch, so that little is padded.
    windows.sort(key=lambda window: -len(window.residues))
    n_left = Counter(window.protein for window in windows)
    sums: dict[int, NDArray[np.float32]] = {}
    with tqdm(total=len(windows), desc=encoder.name, unit="window", disable=not progress) as bar:
        for batch in batches(windows, tokens_per_batch):
            parts = encoder.pool([w.residues for w in batch], [w.weights for w in batch], layer)
            complete: dict[str, NDArray[np.float32]] = {}
            for window, part in zip(batch, parts, strict=True):
                number = window.protein
                sums[number] = sums.get(number, np.float32(0)) + part
                n_left[number] -= 1
                if n_left[number] == 0:
                    complete[digest(sequences[number])] = sums.pop(number)
            if not all(np.isfinite(vector).all() for vector in complete.values()):
                raise FloatingPointError(
                    f"{encoder.name} gave NaN or infinity in {encoder.precision}; use precision='float32'."
                )
            partial.append(complete)
            bar.update(len(batch))


def _layer_number(layer: int, n_layers: int) -> int:
    """Return the number of a layer, where negative numbers count from the last."""
    number = layer + n_layers + 1 if layer < 0 else layer
    if not 0 <= number <= n_layers:
        raise ValueError(
            f"`layer` is {layer}; expected {-n_layers - 1} to {n_layers}, because the model has {n_layers} layers."
        )
    return number
