"""Before the model: how genes relate, from proteins, expression, or a table."""

from ._coexpression import coexpression_graph
from ._embed import embed_proteins
from ._embeddings import Embeddings, read_embeddings, write_embeddings
from ._fasta import read_fasta
from ._fetch import fetch_proteins
from ._relations import add_relation, protein_graph

__all__ = [
    "Embeddings",
    "add_relation",
    "coexpression_graph",
    "embed_proteins",
    "fetch_proteins",
    "protein_graph",
    "read_embeddings",
    "read_fasta",
    "write_embeddings",
]
