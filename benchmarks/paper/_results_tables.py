"""Read the tables of `RESULTS.md`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS.md"
SOURCE = "`benchmarks/RESULTS.md`, three seeds, no test"
ONE_TRAINING = "`benchmarks/RESULTS.md`, one training each, no test"
SIMULATED_COUNTS = "simulated counts, `benchmarks/RESULTS.md`"


def read_table(heading: str) -> pd.DataFrame:
    """Read the first table below a heading of `RESULTS.md`; of `mean ± deviation`, the mean."""
    below = RESULTS.read_text().split(f"\n{heading}\n", 1)[1]
    lines = [line for line in below.split("\n#", 1)[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = pd.DataFrame(rows[2:], columns=rows[0]).map(lambda text: text.split(" ± ")[0])
    return table.apply(lambda column: pd.to_numeric(column, errors="coerce").fillna(column))


def headings(section: str) -> list[str]:
    """List the headings of the second level in a section of `RESULTS.md`."""
    below = RESULTS.read_text().split(f"\n{section}\n", 1)[1].split("\n# ", 1)[0]
    return [line for line in below.splitlines() if line.startswith("## ")]
