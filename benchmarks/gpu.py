"""Compare a GPU with the CPU: time, memory of the device, and how far predictions differ.

`python benchmarks/gpu.py` trains and imputes a synthetic tissue; with `--pair OSMFISH` a real pair too, if its folder
is below `STIMPUTE_DATA`. One model is trained on the CPU and imputes on both devices: these predictions differ by
rounding. Another is trained on the GPU: training is not the same to the bit there, and what its predictions have in
common with those of the CPU is given as a correlation. `high` and `medium` are values of
`torch.set_float32_matmul_precision`, and `bf16-mixed` of `model.train(precision=...)`. Where there is no GPU, the CPU
alone is measured, in both precisions.
"""

from __future__ import annotations

import argparse
import logging
import platform
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

from stimpute import StImputeModel
from stimpute.data._normalize import column_correlation
from stimpute.datasets import synthetic_tissue

REFERENCE_CELLS = 5000
MEASURED_GENES = 300
MAX_GENES = 5000  # that are imputed

Row = dict[str, Any]


def synthetic(n_cells: int, n_unmeasured: int) -> tuple[AnnData, AnnData]:
    """Simulate a section and a reference."""
    tissue = synthetic_tissue(
        n_cells=n_cells, n_reference=REFERENCE_CELLS, n_measured=MEASURED_GENES, n_unmeasured=n_unmeasured
    )
    return tissue.spatial, tissue.reference


def real(name: str) -> tuple[AnnData, AnnData]:
    """Read a real pair."""
    from _pairs import load_pair

    pair = load_pair(name)
    return pair.spatial, pair.reference


class Device:
    """A device, and what work on it takes."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.accelerator = "gpu" if kind == "cuda" else "cpu"
        self.name = torch.cuda.get_device_name() if kind == "cuda" else f"CPU, {torch.get_num_threads()} threads"

    def measure(self, work: Any) -> tuple[Any, Row]:
        """Return the result of some work, its time and the peak memory of the device."""
        if self.kind == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        wall = time.perf_counter()
        cpu = time.process_time()
        result = work()
        if self.kind == "cuda":
            torch.cuda.synchronize()
        figures: Row = {
            "device": self.kind,
            "wall s": round(time.perf_counter() - wall, 2),
            "CPU s": round(time.process_time() - cpu, 2),
        }
        if self.kind == "cuda":
            figures["device GiB"] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
        return result, figures


def train_rows(spatial: AnnData, reference: AnnData, genes: list[str], devices: list[Device], folder: str) -> list[Row]:
    """Train on each device in each precision; save the model of the CPU."""
    rows: list[Row] = []
    known = np.empty(0)
    for device in devices:
        for precision in ("32-true", "bf16-mixed"):
            model = StImputeModel(spatial, reference)
            options: Row = {"accelerator": device.accelerator, "precision": precision, "enable_progress_bar": False}
            _, figures = device.measure(lambda m=model, o=options: m.train(**o))
            imputed = model.impute(genes=genes, progress=False).X
            if not rows:
                model.save(folder)
                known = imputed
            correlation = mean_correlation(known, imputed)
            rows.append({"step": f"train, {precision}", **figures, "correlation with the CPU": correlation})
    return rows


def impute_rows(
    spatial: AnnData, reference: AnnData, genes: list[str], devices: list[Device], folder: str
) -> list[Row]:
    """Impute with one model on each device, in each precision of matrix products."""
    rows: list[Row] = []
    known = np.empty(0)
    for device in devices:
        model = StImputeModel.load(folder, spatial, reference, accelerator=device.accelerator)
        model.impute(genes=genes, progress=False)  # what only the first call takes
        for precision in ("highest", "high", "medium"):
            torch.set_float32_matmul_precision(precision)
            imputed, figures = device.measure(lambda m=model: m.impute(genes=genes, progress=False).X)
            torch.set_float32_matmul_precision("highest")
            if not rows:
                known = imputed
            difference = np.abs(imputed - known)
            spread = known.std(0).mean()
            rows.append(
                {
                    "step": f"impute {imputed.shape[0]} × {imputed.shape[1]}, {precision}",
                    **figures,
                    "largest difference": f"{difference.max():.1e}",
                    "as share of the mean standard deviation of a gene": f"{difference.max() / spread:.1e}",
                    "correlation with the CPU": mean_correlation(known, imputed),
                }
            )
    return rows


def mean_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlate each gene over cells, and average."""
    varies = (a.std(0) > 0) & (b.std(0) > 0)
    return round(float(column_correlation(a, b)[varies].mean()), 5)


def compare(title: str, spatial: AnnData, reference: AnnData, devices: list[Device]) -> list[Row]:
    """Measure training and imputing of one pair."""
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    genes = sorted(set(reference.var_names) - set(spatial.var_names))[:MAX_GENES]
    with tempfile.TemporaryDirectory() as folder:
        saved = str(Path(folder) / "model")
        rows = train_rows(spatial, reference, genes, devices, saved)
        rows += impute_rows(spatial, reference, genes, devices, saved)
    return [{"data": title, **row} for row in rows]


def main() -> None:
    """Measure all data and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--genes", type=int, default=2000, help="unmeasured genes of the synthetic tissue")
    parser.add_argument("--pair", nargs="*", default=[], help="real pairs, such as OSMFISH")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    devices = [Device("cpu")] + ([Device("cuda")] if torch.cuda.is_available() else [])
    compare("warm up", *synthetic(300, 20), devices)  # what only the first calls of a process take
    rows = compare(f"synthetic, {args.cells} cells", *synthetic(args.cells, args.genes), devices)
    for name in args.pair:
        rows += compare(name, *real(name), devices)
    print(f"torch {torch.__version__}, Python {platform.python_version()}; {', '.join(d.name for d in devices)}\n")
    table = pd.DataFrame(rows).fillna("").astype(str)
    lines = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    print("\n".join("| " + " | ".join(line) + " |" for line in lines))


if __name__ == "__main__":
    main()
