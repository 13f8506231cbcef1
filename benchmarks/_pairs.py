"""Real pairs and a synthetic one, cut to the genes that both datasets share, for the held-out-gene protocol."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse

from stimpute import datasets

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PROTEINS = {
    "OSMFISH": "esm2_osmFISH.npz",
    "OSMFISH_VISP": "esm2_osmFISH.npz",
    "MERFISH_HYPOTHALAMUS": "esm2_MERFISH.npz",
    "STARMAP_V1": "esm2_UNION.npz",
}
MAX_REFERENCE = 6000


@dataclass(frozen=True)
class Pair:
    """Spatial data over the shared genes, and the whole reference, both counts."""

    name: str
    spatial: ad.AnnData
    reference: ad.AnnData
    proteins: Path | ad.AnnData


def load_pair(name: str, max_cells: int | None = None, seed: int = 0) -> Pair:
    """Read a pair, draw cells reproducibly, and keep shared genes that the reference expresses.

    `"SYNTHETIC"` is the tissue of `datasets.synthetic_tissue`, with the genes that it measured. Names of
    `datasets.paper_pairs` are read from where somebody saved them, see `datasets.paper_pair`.
    """
    if name == "SYNTHETIC":
        tissue = datasets.synthetic_tissue()
        spatial = _draw(tissue.spatial, max_cells, np.random.RandomState(seed))
        return Pair(name, spatial, tissue.reference, tissue.proteins)
    if name in datasets.paper_pairs():
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
    return Pair(name, spatial, reference, DATA / PROTEINS.get(name, PROTEINS["STARMAP_V1"]))


def is_here(name: str) -> bool:
    """Tell whether somebody saved files of a pair of the paper."""
    return (DATA / name).is_dir()


def _of_paper(name: str) -> tuple[ad.AnnData, ad.AnnData]:
    """Read a pair of the paper, and check that it has what the studies need."""
    spatial, reference = datasets.paper_pair(name, data_dir=DATA)
    save = f"save it as {DATA / name / 'spatial.h5ad'}, and the reference beside it."
    if "spatial" not in spatial.obsm:
        raise ValueError(f"The section of {name} has no positions; add obsm['spatial'], {save}")
    if np.any(sparse.csr_matrix(spatial.X).data % 1):
        raise ValueError(f"The section of {name} does not hold counts; recover them from the published values, {save}")
    if "cell_type" not in spatial.obs:
        spatial.obs["cell_type"] = "unknown"
    return spatial, reference


def _draw(adata: ad.AnnData, n: int | None, rng: np.random.RandomState) -> ad.AnnData:
    if n is None or adata.n_obs <= n:
        return adata
    return adata[np.sort(rng.choice(adata.n_obs, n, replace=False))].copy()
