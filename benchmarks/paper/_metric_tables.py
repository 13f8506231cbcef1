"""Name the metrics of tables, and write two numbers into one cell."""

from __future__ import annotations

import pandas as pd

LABELS = {"css": "CSS", "mse": "MSE", "pcc": "PCC", "spearman": "Spearman", "ssim": "SSIM"}
CONSTANT = ("reference mean, calibrated", "constant")  # methods without a correlation by gene


def pairs_of_numbers(first: pd.DataFrame, second: pd.DataFrame, between: str = " / ") -> pd.DataFrame:
    """Write two numbers into each cell of a table, one where there is only one, and none where there is none."""
    columns = {
        name: [
            between.join(f"{value:.3f}" for value in pair if pd.notna(value))
            for pair in zip(first[name], second[name], strict=True)
        ]
        for name in first
    }
    return pd.DataFrame(columns, index=first.index)
