"""The command `stimpute embed`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from stimpute.cli import _steps as steps
from stimpute.cli._console import Console
from stimpute.cli._files import check_inputs, check_output_file


def embed(
    *,
    genes: Annotated[Path, typer.Argument(help="Gene names, one per line; or protein sequences, .fasta.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Protein embeddings, .h5ad or .npz.")],
    organism: Annotated[str, typer.Option("--organism", help="mouse, human, rat, ... or a taxon number.")] = "mouse",
    model: Annotated[
        str, typer.Option("--model", help="Name of an ESM-2 model, or its checkpoint file.")
    ] = "esm2_t33_650M_UR50D",
    pooling: Annotated[
        Literal["mean", "last"], typer.Option("--pooling", help="Mean over all residues, or the last one only.")
    ] = "mean",
    url: Annotated[str | None, typer.Option("--url", help="Address of the UniProt service, if not the usual.")] = None,
    console: Console,
) -> None:
    """Compute protein embeddings of genes: sequences from UniProt, embedded by ESM-2. An interrupted run resumes.

    Example: stimpute embed genes.txt --organism mouse --model esm2_t33_650M_UR50D -o proteins.h5ad
    """
    check_inputs(genes)
    check_output_file("--out", out, (".h5ad", ".npz"), inputs=[genes])
    from stimpute import pp

    sequences = steps.read_sequences(genes, organism, url, console)
    embedded = pp.embed_proteins(sequences, model=model, output=out, pooling=pooling, progress=console.progress)
    n_genes, n_dimensions = embedded.embedding.shape
    console.print(f"Wrote {n_genes} embeddings of length {n_dimensions} to {out}")
    console.write_result({"genes": n_genes, "dimensions": n_dimensions, "file": str(out)})
