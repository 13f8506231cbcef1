"""How a table gets into a results file: with its command, commit and versions."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd

PACKAGES = ("stimpute", "torch", "scvi-tools", "anndata", "numpy")


def section(title: str, table: pd.DataFrame, note: str = "") -> str:
    """A section in Markdown."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    facts = f"commit {commit.strip()}, Python {platform.python_version()}, {versions}; "
    facts += f"peak memory of this process {peak:.2f} GiB"
    command = f"`python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}`  "
    parts = [f"## {title}", "", command, f"{facts}{note}.", "", table.to_markdown(index=False), ""]
    return "\n".join(parts)


def show(text: str, out: Path | None) -> None:
    """Print a section and, if a file is given, append it there."""
    print(text)
    if out is not None:
        with out.open("a") as file:
            file.write(text + "\n")
