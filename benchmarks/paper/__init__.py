"""Redo the analyses of the paper, one study per file: `python -m benchmarks.paper`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the other benchmarks are, which are scripts
