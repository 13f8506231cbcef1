"""Prepare the data: relations between genes, protein sequences and vectors, and measured expression."""

from stimpute.data._join import join_references
from stimpute.pp._embed import embed_proteins
from stimpute.pp._embeddings import ProteinEmbeddings
from stimpute.pp._fasta import read_fasta
from stimpute.pp._fetch import fetch_proteins
from stimpute.pp._markers import marker_reference
from stimpute.pp._measured_expression import measured_expression
from stimpute.pp._relations import add_gene_network, add_protein_embeddings

__all__ = [
    "ProteinEmbeddings",
    "add_gene_network",
    "add_protein_embeddings",
    "embed_proteins",
    "fetch_proteins",
    "join_references",
    "marker_reference",
    "measured_expression",
    "read_fasta",
]
