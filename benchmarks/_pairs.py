"""Real pairs and a synthetic one, cut to the genes that both datasets share, for the held-out-gene protocol."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anndata as ad
import numpy as np
from scipy import sparse

from stimpute import StImputeModel, datasets

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PROTEINS = {
    "OSMFISH": "esm2_osmFISH.npz",
    "OSMFISH_VISP": "esm2_osmFISH.npz",
    "MERFISH_HYPOTHALAMUS": "esm2_MERFISH.npz",
    "STARMAP_V1": "esm2_UNION.npz",
}
UNION = "esm2_UNION.npz"  # vectors of the genes of all tables, for a pair that has none of its own
MAX_REFERENCE = 6000


@dataclass(frozen=True)
class Pair:
    """Spatial data over the shared genes, and the whole reference; both counts, unless `expression` says otherwise.

    The section of a pair of the paper may have no positions, and its values may be no counts: then it is set up as
    normalized, which :func:`stimpute.tl.gene_folds` reads. A study that needs counts or positions fails on it.
    """

    name: str
    spatial: ad.AnnData
    reference: ad.AnnData
    proteins: Path | ad.AnnData
    expression: Literal["counts", "normalized"] = "counts"


def load_pair(name: str, max_cells: int | None = None, seed: int = 0) -> Pair:
    """Read a pair, draw cells reproducibly, and keep shared genes that the reference expresses.

    `"SYNTHETIC"` is the tissue of `datasets.synthetic_tissue`, with the genes that it measured. Names of
    `datasets.paper_pairs` are read from where somebody saved them, see `datasets.paper_pair`.
    """
    if name == "SYNTHETIC":
        tissue = datasets.synthetic_tissue()
        spatial = _draw(tissue.spatial, max_cells, np.random.RandomState(seed))
        return Pair(name, spatial, tissue.reference, tissue.proteins)
    is_of_paper = name in datasets.paper_pairs()
    if is_of_paper:
        spatial, reference = _of_paper(name)
    else:
        spatial = ad.read_h5ad(DATA / name / "spatial.h5ad")
        reference = ad.read_h5ad(DATA / name / "reference.h5ad")
    rng = np.random.RandomState(seed)
    spatial, reference = (_draw(a, n, rng) for a, n in ((spatial, max_cells), (reference, MAX_REFERENCE)))
    shared = np.array(sorted(set(spatial.var_names) & set(reference.var_names)))
    spatial = spatial[:, shared]
    spatial = spatial[np.asarray(spatial.X.sum(1)).ravel() > 0]
    expressed = np.asarray(reference[:, shared].X.sum(0)).ravel() > 0
    spatial = spatial[:, expressed].copy()
    spatial.X = sparse.csr_matrix(spatial.X)
    expression = "normalized" if is_of_paper and np.any(spatial.X.data % 1) else "counts"
    if expression == "normalized":
        spatial.X = spatial.X.log1p()
        StImputeModel.setup_anndata(spatial, spatial_key=_positions(spatial), expression="normalized")
    if is_of_paper:
        _say_what_differs(name, spatial, expression)
    return Pair(name, spatial, reference, DATA / PROTEINS.get(name, UNION), expression)


def is_here(name: str) -> bool:
    """Tell whether somebody saved files of a pair of the paper."""
    return (DATA / name).is_dir()


def _of_paper(name: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Read a pair of the paper."""
    spatial, reference = datasets.paper_pair(name, data_dir=DATA)
    if "cell_type" not in spatial.obs:
        spatial.obs["cell_type"] = "unknown"
    return spatial, reference


def _positions(spatial: ad.AnnData) -> str | None:
    return "spatial" if "spatial" in spatial.obsm else None


def _say_what_differs(name: str, spatial: ad.AnnData, expression: str) -> None:
    """Print what a pair of the paper lacks of what the other pairs have."""
    lacks = []
    if _positions(spatial) is None:
        lacks.append("no positions: `crossfit` has no spatial neighbors, and studies of positions fail")
    if expression == "normalized":
        lacks.append("no counts: the logarithm of the published values, plus 1, is used as it is")
    if name not in PROTEINS:
        lacks.append(f"no protein vectors of its own: {UNION} is used, and co-expression for genes that it lacks")
    for what in lacks:
        print(f"{name} has {what}.", file=sys.stderr)


def _draw(adata: ad.AnnData, n: int | None, rng: np.random.RandomState) -> ad.AnnData:
    if n is None or adata.n_obs <= n:
        return adata
    return adata[np.sort(rng.choice(adata.n_obs, n, replace=False))].copy()
