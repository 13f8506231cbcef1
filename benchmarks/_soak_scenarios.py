"""Calls that write files, and what must be true of the files whenever the call ends, for `soak.py`."""

from __future__ import annotations

import contextlib
import logging
import shutil
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import torch
from soak import CLUSTER_HOWS, HOWS, run_limited

from stimpute import StImputeModel, pp, report, share
from stimpute.datasets import synthetic_tissue

GENES = ["Gene30", "Gene31"]
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "max_epochs": 3}


@dataclass
class Scenario:
    """A call and what it must leave behind.

    Attributes
    ----------
    prepare
        Makes the folder with what was there before.
    call
        Returns the call for a folder.
    check
        Raises if the folder is not as it should be.
    repeats
        Whether the same call must succeed when it is repeated.
    hows
        How the call is stopped.
    begin
        Name of the file that the call writes when time begins to count; None for the start of the call.
    """

    prepare: Callable[[Path], None]
    call: Callable[[Path], Callable]
    check: Callable
    repeats: bool = True
    hows: tuple[str, ...] = HOWS
    begin: str | None = None

    def begins(self, folder: Path) -> Path | None:
        """Return the path of the file of :attr:`begin` for a folder."""
        return None if self.begin is None else folder / self.begin


def need(condition: object, problem: str) -> None:
    """Raise ValueError unless a condition holds."""
    if not condition:
        raise ValueError(problem)


def values(model: StImputeModel) -> np.ndarray:
    """What a model with its own data predicts."""
    return np.asarray(model.impute(genes=GENES, progress=False).X)


class Tissue:
    """Two models, which differ in their cells and their weights."""

    def __init__(self) -> None:
        logging.disable(logging.WARNING)
        tissue = synthetic_tissue(n_cells=300, n_reference=200, n_measured=20, n_unmeasured=60)
        pp.add_protein_embeddings(tissue.reference, tissue.proteins)
        self.reference = tissue.reference
        self.spatial = (tissue.spatial[:150].copy(), tissue.spatial[150:].copy())
        for adata in (*self.spatial, self.reference):
            StImputeModel.setup_anndata(adata)
        self.models = [self.model(cells, seed) for seed, cells in enumerate(self.spatial)]
        self.values = [values(model) for model in self.models]

    def model(self, cells: anndata.AnnData, seed: int) -> StImputeModel:
        """Train a model."""
        model = StImputeModel(cells, self.reference, n_steps=20, n_metacells=40)
        model.train(**QUIET, seed=seed)
        return model

    def which(self, found: np.ndarray) -> int:
        """Tell which model predicted values; raise if none did."""
        for number, expected in enumerate(self.values):
            if found.shape == expected.shape and np.array_equal(found, expected):
                return number
        raise ValueError("a model that is neither the old nor the new one")


def replaced(tissue: Tissue, save: Callable, load: Callable) -> Scenario:
    """Replace an old model by a new one."""

    def check(folder: Path, finished: bool) -> None:
        number = tissue.which(values(load(folder / "model")))
        need(number == 1 or not finished, "the old model after the new one was saved")

    return Scenario(
        prepare=lambda folder: (folder.mkdir(), save(tissue.models[0], folder / "model")),
        call=lambda folder: lambda: save(tissue.models[1], folder / "model"),
        check=check,
    )


def save_model(model: StImputeModel, path: Path) -> None:
    """Save with all data."""
    model.save(path, overwrite=True, save_anndata=True, save_reference=True)


def save_shared(model: StImputeModel, path: Path) -> None:
    """Share with the reference; the cells are added for the check."""
    share.save(model, path, overwrite=True, save_reference=True)


def save_hub(model: StImputeModel, path: Path) -> None:
    """Write a hub folder with all data."""
    share.to_hub(model, path, overwrite=True, save_anndata=True, save_reference=True)


def load_hub(path: Path) -> StImputeModel:
    """Load a hub folder."""
    return share.hub.HubStImputeModel.load(path, accelerator="cpu")


def shared(tissue: Tissue) -> Scenario:
    """Replace a shared model, whose folder holds no cells."""

    def check(folder: Path, finished: bool) -> None:
        model = share.load(folder / "model", accelerator="cpu")
        numbers = []
        for cells, expected in zip(tissue.spatial, tissue.values, strict=True):
            found = model.impute(cells.copy(), genes=GENES, progress=False).X
            numbers.append(np.array_equal(found, expected))
        need(sum(numbers) == 1, "a model that is neither the old nor the new one")
        need(numbers[1] or not finished, "the old model after the new one was saved")

    scenario = replaced(tissue, save_shared, load_hub)
    scenario.check = check
    return scenario


def written_report(tissue: Tissue) -> Scenario:
    """Replace a page."""

    def check(folder: Path, finished: bool) -> None:
        page = (folder / "page.html").read_text()
        is_new = "<h1>new</h1>" in page.replace("\n", "") or "new" in page.split("</title>")[0]
        need(page == "old" or page.rstrip().endswith("</html>"), "half a page")
        need(is_new or not finished, "the old page after the new one was written")

    return Scenario(
        prepare=lambda folder: (folder.mkdir(), (folder / "page.html").write_text("old")),
        call=lambda folder: lambda: report.write(folder / "page.html", model=tissue.models[0], title="new", n_maps=1),
        check=check,
    )


def streamed(tissue: Tissue) -> Scenario:
    """Stream to a store that is not there yet."""
    expected = tissue.models[0].impute(progress=False, interval=0.8)

    def call(folder: Path) -> Callable:
        def run() -> None:
            shutil.rmtree(folder / "x.zarr", ignore_errors=True)
            tissue.models[0].impute(progress=False, interval=0.8, out=folder / "x.zarr", batch_size=16)

        return run

    def check(folder: Path, finished: bool) -> None:
        store = folder / "x.zarr"
        need(store.exists() or not finished, "no store")
        if store.exists():
            found = anndata.read_zarr(store)
            np.testing.assert_allclose(found.X, expected.X, atol=1e-5)
            np.testing.assert_allclose(found.layers["upper"], expected.layers["upper"], atol=1e-5)
            need(list(found.obs_names) == list(expected.obs_names), "other cells")

    return Scenario(prepare=lambda folder: folder.mkdir(), call=call, check=check)


def on_cluster(tissue: Tissue, base: Path) -> Scenario:
    """Stream to a store by the workers of a cluster; one of them may be killed."""
    import distributed

    model = tissue.models[0]
    options = {"progress": False, "interval": 0.8, "batch_size": 2}
    run_limited(lambda: model.impute(out=base / "old.zarr", **options) and None, "", 0, (0, 0.0, 0))
    expected = content(base / "old.zarr")
    workers = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "1.5GiB", "dashboard_address": None}

    def call(folder: Path) -> Callable:
        def run() -> None:
            shutil.rmtree(folder / "x.zarr", ignore_errors=True)
            cluster = distributed.LocalCluster(**workers)
            try:
                distributed.Client(cluster).run(__import__, "stimpute.model._graph")
                (folder / "begin").touch()
                model.impute(out=folder / "x.zarr", **options)
            finally:
                with contextlib.suppress(TimeoutError):  # on a busy machine; no process may be left all the same
                    cluster.close()

        return run

    def check(folder: Path, finished: bool) -> None:
        (folder / "begin").unlink(missing_ok=True)
        store = folder / "x.zarr"
        need(store.exists() or not finished, "no store")
        stores = {path.name for path in folder.glob("[!.]*")}
        need(stores <= {"x.zarr", "old.zarr"}, f"also {stores}")
        for name in stores:
            need(content(folder / name) == expected, f"another result in {name}")

    def prepare(folder: Path) -> None:
        folder.mkdir()
        shutil.copytree(base / "old.zarr", folder / "old.zarr")

    return Scenario(prepare=prepare, call=call, check=check, hows=CLUSTER_HOWS, begin="begin")


def content(folder: Path) -> dict[str, bytes]:
    """Read every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def trained(tissue: Tissue) -> Scenario:
    """Train again; an interruption leaves the model as it was."""

    def call(folder: Path) -> Callable:
        def run() -> None:
            model = tissue.models[0]
            try:
                model.train(**QUIET, seed=5)
            except KeyboardInterrupt:
                need(np.array_equal(values(model), tissue.values[0]), "an interrupted training changed the model")
                model.save(folder / "kept")
                raise
            need(not np.array_equal(values(model), tissue.values[0]), "training changed nothing")
            model.save(folder / "trained", overwrite=True)

        return run

    def check(folder: Path, finished: bool) -> None:
        need((folder / "trained").exists() or not finished, "no model")
        for path in folder.glob("[!.]*"):
            StImputeModel.load(path, tissue.spatial[0].copy(), tissue.reference.copy(), accelerator="cpu")

    return Scenario(prepare=lambda folder: folder.mkdir(), call=call, check=check)


def embedded(base: Path) -> Scenario:
    """Embed proteins with a tiny language model; the next run goes on."""
    from esm.model.esm2 import ESM2

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ESM2(num_layers=2, embed_dim=32, attention_heads=4)
    prefix = lambda name: f"encoder.{name}" if name.startswith("lm_head") else f"encoder.sentence_encoder.{name}"
    state = {prefix(name): value for name, value in network.state_dict().items() if "contact_head" not in name}
    settings = Namespace(encoder_layers=2, encoder_embed_dim=32, encoder_attention_heads=4, token_dropout=True)
    checkpoint = base / "esm2_tiny.pt"
    torch.save({"cfg": {"model": settings}, "model": state}, checkpoint)
    rng = np.random.default_rng(0)
    proteins = {f"g{n}": "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 5 + n)) for n in range(60)}
    options = {"model": checkpoint, "device": "cpu", "progress": False, "tokens_per_batch": 100}
    expected = pp.embed_proteins(proteins, **options).embedding

    def check(folder: Path, finished: bool) -> None:
        path = folder / "vectors.npz"
        need(path.exists() or not finished, "no vectors")
        if path.exists():
            np.testing.assert_allclose(pp.ProteinEmbeddings.read(path).embedding, expected, atol=1e-6)
            need(not finished or not (folder / "vectors.npz.partial").exists(), "a rest is left")

    return Scenario(
        prepare=lambda folder: folder.mkdir(),
        call=lambda folder: lambda: pp.embed_proteins(proteins, output=folder / "vectors.npz", **options) and None,
        check=check,
    )


def from_command_line(tissue: Tissue, base: Path) -> Scenario:
    """Train, save, impute and draw by one command, which may be repeated with other names."""
    from stimpute.cli import main

    tissue.spatial[0].write_h5ad(base / "spatial.h5ad")
    tissue.reference.write_h5ad(base / "reference.h5ad")

    def call(folder: Path) -> Callable:
        def run() -> int | None:
            (folder / "imputed.h5ad").unlink(missing_ok=True)
            shutil.rmtree(folder / "model", ignore_errors=True)
            data = ["--spatial", str(base / "spatial.h5ad"), "--reference", str(base / "reference.h5ad")]
            fast = ["--set", "n_steps=20", "--set", "n_metacells=40", "--genes", ",".join(GENES), "-q"]
            out = ["-o", str(folder / "imputed.h5ad"), "--save-model", str(folder / "model")]
            pages = ["--report", str(folder / "page.html")]
            try:
                status = main(["impute", *data, *fast, *out, *pages])
            except SystemExit as end:
                status = end.code
            return {0: None, None: None, 2: 10, 3: 12, 130: 11}.get(status, status)

        return run

    def check(folder: Path, finished: bool) -> None:
        written = [path.name for path in folder.glob("[!.]*")]
        need(not finished or {"imputed.h5ad", "model", "page.html"} <= set(written), f"only {written}")
        if "model" in written:
            StImputeModel.load(folder / "model", tissue.spatial[0].copy(), tissue.reference.copy(), accelerator="cpu")
        if "imputed.h5ad" in written:
            found = anndata.read_h5ad(folder / "imputed.h5ad")
            need(found.shape == (150, 2) and np.isfinite(found.X).all(), "half a result")
        if "page.html" in written:
            need((folder / "page.html").read_text().rstrip().endswith("</html>"), "half a page")

    return Scenario(prepare=lambda folder: folder.mkdir(), call=call, check=check)


def make(base: Path, only: list[str] | None) -> dict[str, Scenario]:
    """Make the scenarios, or some of them."""
    tissue = Tissue()
    load = lambda path: StImputeModel.load(path, accelerator="cpu")
    makers = {
        "save": lambda: replaced(tissue, save_model, load),
        "share": lambda: shared(tissue),
        "hub": lambda: replaced(tissue, save_hub, load_hub),
        "report": lambda: written_report(tissue),
        "stream": lambda: streamed(tissue),
        "cluster": lambda: on_cluster(tissue, base),
        "train": lambda: trained(tissue),
        "embed": lambda: embedded(base),
        "command": lambda: from_command_line(tissue, base),
    }
    return {name: maker() for name, maker in makers.items() if only is None or name in only}
