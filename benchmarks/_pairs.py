"""Real pairs and a synthetic one, cut to the genes that both datasets share, for the held-out-gene protocol."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from stimpute import StImputeModel, datasets, pp

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
PROTEINS = {
    "OSMFISH": "esm2_osmFISH.npz",
    "OSMFISH_VISP": "esm2_osmFISH.npz",
    "MERFISH_HYPOTHALAMUS": "esm2_MERFISH.npz",
    "STARMAP_V1": "esm2_UNION.npz",
}
UNION = "esm2_UNION.npz"  # vectors of the genes of all tables, for a pair that has none of its own
MAX_REFERENCE = 6000
MIN_VECTORS = 3  # genes of the section that must have a protein vector
CONSEQUENCES = {
    "positions": "`crossfit` has no spatial neighbors",
    "counts": "the logarithm of the published values, plus 1, is used as it is",
    "labels": "no method is told cell types, and nothing is computed within them",
    "proteins": f"genes of the section are not in {UNION}, and genes are related by co-expression alone",
}


@dataclass(frozen=True)
class Pair:
    """Spatial data over the shared genes, and the whole reference, which has counts.

    A pair of the paper may lack some of `CONSEQUENCES`. A section without counts is set up as normalized, which
    :func:`stimpute.tl.gene_folds` reads.
    """

    name: str
    spatial: ad.AnnData
    reference: ad.AnnData
    proteins: Path | ad.AnnData | None
    expression: Literal["counts", "normalized"] = "counts"

    @property
    def setup(self) -> dict[str, str]:
        """Arguments of `setup_anndata` for the section and copies of it."""
        return {"expression": self.expression}

    @property
    def lacks(self) -> list[str]:
        """Name what the pair lacks of positions, counts, cell types ("labels") and protein vectors."""
        has = {
            "positions": "spatial" in self.spatial.obsm,
            "counts": self.expression == "counts",
            "labels": self.spatial.obs["cell_type"].nunique() > 1,
            "proteins": self.proteins is not None,
        }
        return [name for name, is_there in has.items() if not is_there]


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
    pair = Pair(name, spatial, reference, _proteins(name, spatial.var_names), expression)
    for what in pair.lacks:
        print(f"{name} has no {what}: {CONSEQUENCES[what]}.", file=sys.stderr)
    return pair


def with_proteins(reference: ad.AnnData, pair: Pair) -> ad.AnnData:
    """Return a copy of a reference with the protein vectors of a pair, if it has any."""
    reference = reference.copy()
    if pair.proteins is not None:
        pp.add_protein_embeddings(reference, pair.proteins)
    return reference


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


def _proteins(name: str, genes: pd.Index) -> Path | None:
    """Return the table with protein vectors of a pair; None for a pair of the paper with few genes that it has."""
    if name in PROTEINS:
        return DATA / PROTEINS[name]
    path = DATA / UNION
    if not path.exists():
        return None
    table = pp.ProteinEmbeddings.read(path)
    return path if genes.isin(table.genes[table.embedding.any(1)]).sum() >= MIN_VECTORS else None


def _draw(adata: ad.AnnData, n: int | None, rng: np.random.RandomState) -> ad.AnnData:
    if n is None or adata.n_obs <= n:
        return adata
    return adata[np.sort(rng.choice(adata.n_obs, n, replace=False))].copy()
