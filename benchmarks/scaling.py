"""CPU time and peak memory, by number of cells or of shared genes; and the schedulers of Dask.

`python benchmarks/scaling.py --cells 10000 100000 1350000` reads a section of 377 genes from disk, trains, imputes 76
unmeasured genes to zarr, then single genes of a lazy result. Beside each stage stands its floor: its matrix products at
the rate that was measured just before, and its bytes at the rate of copying them. What counts is how the figures grow:
training not at all beyond 20,000 cells, imputing in proportion to cells × genes, and memory with positions and totals.

`python benchmarks/scaling.py --schedulers 20000` imputes 8192 genes to zarr, by a plain loop and by each scheduler.

`python benchmarks/scaling.py --panels 377 1000 5000 18000` trains on panels of these sizes, imputes some genes with
intervals, embeds all cells, finds neighbors, saves and loads. What counts is that nothing grows with the square of the
panel. Each size runs in a process of its own. With `--data`, simulated data are kept and used again.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from _panels import simulate_panel, simulate_section
from _results import section, show
from _schedulers import new_store, plain_loop, scheduler
from _stages import AddedMemory, Row, Stages

from stimpute import StImputeModel
from stimpute.model._chunks import gene_chunks
from stimpute.model._encodings import SLAB_SIZE
from stimpute.model._stream import describe_genes, predict_chunks
from stimpute.recipes import RECIPES, OutputOptions

SECTION_DATA = (377, 26_717, 33_551)  # shared genes, reference cells, reference genes
N_STORED = 8192  # genes that every scheduler imputes
N_HIDDEN = 76  # genes that are imputed in all cells
PANEL_DATA = (30_000, 20_000, 20_000)  # spatial cells, reference cells, reference genes
N_IMPUTED = 256  # genes that are imputed from each panel
N_NEIGHBORS_OF = 2000  # cells whose neighbors are found


def measure_cells(folder: Path, recipe: str, n_lazy: int) -> list[Row]:
    """Do with one section what users of a large one do, in this process."""
    spatial, reference, stages = open_data(folder)
    n_cells = spatial.n_obs
    model = StImputeModel(spatial, reference, recipe=recipe)
    stages.end(
        "set up, make the model: reference and all cells are read", copied=(folder / "spatial.h5ad").stat().st_size
    )
    model.train(enable_progress_bar=False)
    stages.end("train")
    unmeasured = list(model.reference_genes.difference(model.shared_genes))
    genes = unmeasured[:N_HIDDEN]
    expected = model.estimate(n_cells=n_cells, n_genes=len(genes))
    stages.end("estimate")
    added = AddedMemory()
    model.impute(genes=genes, out=folder / "imputed.zarr", progress=False)
    stored = size_of(folder / "imputed.zarr" / "X")
    stages.end(
        f"impute {len(genes)} genes to zarr",
        products=n_cells * (encoding(model) + len(genes) * per_value(model)),
        copied=(folder / "spatial.h5ad").stat().st_size + stored,
        expected=expected,
        stored=stored,
        memory=added.peak(),
    )
    if n_lazy == 0:
        return [{"cells": n_cells, **row} for row in stages.rows]
    lazy = model.impute(genes=unmeasured[:n_lazy], lazy=True, progress=False)
    stages.end(f"describe {lazy.n_vars:,} genes for a lazy result")
    lazy[:, unmeasured[0]].to_memory()
    stages.end("its first gene", products=n_cells * (encoding(model) + per_value(model)))
    lazy[:, unmeasured[1]].to_memory()
    kept = lazy.X.source.cells.encodings
    gib = [size / 2**30 for size in (kept.size, kept.file.size)]
    stages.end(f"the next gene; kept: {gib[0]:.1f} GiB in memory, {gib[1]:.1f} GiB in a file")
    size = kept.size
    del lazy, kept
    gc.collect()
    stages.start()
    touch(size)
    stages.end("for comparison: as much memory, written once")
    return [{"cells": n_cells, **row} for row in stages.rows]


def measure_schedulers(folder: Path) -> list[Row]:
    """Impute many genes to zarr by a plain loop over chunks, and by each scheduler of Dask."""
    spatial, reference, stages = open_data(folder)
    model = StImputeModel(spatial, reference)
    model.train(enable_progress_bar=False)
    stages.end("train")
    predictor = model.predictor()
    targets, _ = model.data.locate(None, None)
    targets = targets[:N_STORED]
    chunks = gene_chunks(predictor, targets, model.data.need_reference().reference)
    blocks = list(describe_genes(predictor, chunks, progress=False))
    stages.end(f"describe {len(targets):,} genes")
    products = spatial.n_obs * (encoding(model) + len(targets) * per_value(model))
    known = plain_loop(model, blocks, folder / "plain.zarr")
    stages.end("plain loop: encode, predict, write", products=products)
    cells = model.data.read_cells(None)
    options = {"batch_size": None, "progress": False}
    for name in ("synchronous", "threads", "processes", "LocalCluster of 2"):
        array = new_store(folder / f"{name}.zarr", known.shape)
        stages.start()
        with scheduler(name):
            if name not in ("synchronous", "threads"):
                stages.end(f"start {name}, which import the packages")
            predict_chunks(predictor, cells, chunks, blocks, {"X": array}, OutputOptions(), **options)
            stages.end(name, products=products)
        assert all(np.array_equal(array[i : i + 1000], known[i : i + 1000]) for i in range(0, len(cells), 1000)), name
    return [{"cells": spatial.n_obs, "genes": len(targets), **row} for row in stages.rows]


def open_data(folder: Path) -> tuple[ad.AnnData, ad.AnnData, Stages]:
    """Open a section and its reference, of which the expression stays on disk."""
    stages = Stages()
    spatial = ad.read_h5ad(folder / "spatial.h5ad", backed="r")
    reference = ad.read_h5ad(folder / "reference.h5ad", backed="r")
    stages.end("open the files")
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    return spatial, reference, stages


def encoding(model: StImputeModel) -> int:
    """Count the multiplications that encode a cell: all members, with no gene held out."""
    recipe = model.recipe
    if recipe.name != "crossfit":
        return 0
    width = min(recipe.n_latent, model.sizes.n_shared)
    return recipe.n_folds * width * (model.sizes.n_shared + recipe.n_metacells)


def per_value(model: StImputeModel) -> int:
    """Count the multiplications that predict a value from an encoded cell."""
    return int(model.recipe.work_per_value(model.sizes))


def touch(size: int) -> None:
    """Write to new memory, which the system has to provide."""
    slabs = []
    for _ in range(-(-size // SLAB_SIZE)):
        slabs.append(np.ones(SLAB_SIZE, np.uint8))


def size_of(path: Path) -> int:
    """Count the bytes of the files of a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def measure_panel(folder: Path) -> list[dict[str, float | str]]:
    """Do with one panel what users do, in this process."""
    stages = Stages()
    spatial, reference = (ad.read_h5ad(folder / f"{name}.h5ad") for name in ("spatial", "reference"))
    stages.end("read files")
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    stages.end("set up, make the model")
    model.train(enable_progress_bar=False)
    stages.end("train")
    genes = list(model.reference_genes.difference(model.shared_genes))[:N_IMPUTED]
    model.gene_reliability(genes)
    stages.end(f"describe {len(genes)} unmeasured genes")
    imputed = model.impute(genes=genes, interval=0.9, progress=False)
    stages.end(f"impute them in {imputed.n_obs:,} cells, with intervals")
    model.impute(genes=list(model.shared_genes[:20]), progress=False)
    stages.end("impute 20 measured genes")
    model.get_latent_representation()
    model.get_latent_representation(dataset="reference")
    stages.end("embed all cells")
    model.get_neighbors(spatial[:N_NEIGHBORS_OF])
    stages.end(f"neighbors of {N_NEIGHBORS_OF} cells")
    model.save(folder / "model")
    loaded = StImputeModel.load(folder / "model", adata=spatial, reference=reference)
    stages.end("save and load")
    np.testing.assert_allclose(loaded.impute(genes=genes[:5], progress=False).X, imputed[:, :5].X, atol=1e-3)
    stages.end("impute 5 genes with the loaded model")
    return stages.rows


def run(*arguments: str | Path | int) -> list[Row]:
    """Run this file in a process of its own, and return the rows that it prints at last."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads("".join(done.stdout.splitlines()[-1:]) or "[]")


def in_processes(sizes: list[int], kind: str, args: argparse.Namespace) -> list[Row]:
    """Simulate and measure each size in processes of its own."""
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if args.data is None else args.data / f"{kind}{size}"
            folder.mkdir(parents=True, exist_ok=True)
            options = [f"--{kind}", size, "--recipe", args.recipe, "--lazy", args.lazy]
            if not (folder / "spatial.h5ad").exists():
                run("--simulate", folder, *options)
            for old in (*folder.glob("*.zarr"), *folder.glob("model")):
                shutil.rmtree(old)
            rows += run("--measure", folder, *options)
    return rows


def exponent(rows: list[Row], stage: str) -> str:
    """Say how the CPU time of a stage grows with the number of cells."""
    found = [(row["cells"], row["CPU s"]) for row in rows if row["stage"].startswith(stage)]
    steps = []
    for (cells, cpu), (more, longer) in itertools.pairwise(found):
        steps.append(f"{np.log(longer / cpu) / np.log(more / cells):.2f} from {cells:,} to {more:,} cells")
    return "; CPU seconds of imputing grow with the exponent " + ", ".join(steps) if steps else ""


def main() -> None:
    """Run every size in fresh processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+")
    parser.add_argument("--schedulers", type=int, nargs="+", help="numbers of cells")
    parser.add_argument("--panels", type=int, nargs="+", help="numbers of shared genes")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="crossfit")
    parser.add_argument("--lazy", type=int, default=1000, help="genes of the lazy result; 0 for none")
    parser.add_argument("--data", type=Path, help="folder for simulated data, which are kept")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    if args.simulate is not None:
        if args.panels:
            simulate_panel(args.simulate, args.panels[0], *PANEL_DATA)
        else:
            simulate_section(args.simulate, (args.cells or args.schedulers)[0], *SECTION_DATA)
    elif args.measure is not None and args.panels:
        rows = measure_panel(args.measure)
        print(json.dumps([{"shared genes": args.panels[0], **row} for row in rows]))
    elif args.measure is not None and args.schedulers:
        print(json.dumps(measure_schedulers(args.measure)))
    elif args.measure is not None:
        print(json.dumps(measure_cells(args.measure, args.recipe, args.lazy)))
    elif args.panels:
        n_cells, n_reference, n_genes = PANEL_DATA
        note = f"; {n_cells:,} spatial cells, a reference of {n_reference:,} cells × {n_genes:,} genes"
        show(section("Panels of any size", pd.DataFrame(in_processes(args.panels, "panels", args)), note), args.out)
    elif args.schedulers:
        rows = in_processes(args.schedulers, "schedulers", args)
        show(section("Schedulers of Dask", pd.DataFrame(rows).fillna("")), args.out)
    else:
        rows = in_processes(args.cells or [10_000, 100_000], "cells", args)
        note = exponent(rows, "impute")
        show(section(f"Scaling of {args.recipe}", pd.DataFrame(rows).fillna(""), note), args.out)


if __name__ == "__main__":
    main()
