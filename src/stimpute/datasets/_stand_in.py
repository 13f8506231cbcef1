"""Simulated tissues with the names of public data, so that code for these data runs where they are not at hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData

from stimpute.datasets._synthetic import SyntheticTissue, synthetic_tissue

N_CELLS = 1500
N_REFERENCE = 1000
N_PROTEIN_DIMS = 8  # not used, and as few as possible

OSMFISH_MEASURED = ("Rorb", "Lamp5", "Plp1", "Vip")
OSMFISH_UNMEASURED = ("Mbp", "Foxp2", "Sst", "Slc17a8", "Gad1", "Pvalb")
OSMFISH_TYPES = (
    "Pyramidal L2-3",
    "Pyramidal L4",
    "Pyramidal L6",
    "Inhibitory Vip",
    "Inhibitory Pthlh",
    "Oligodendrocyte Mature",
    "Astrocyte Gfap",
    "Endothelial",
)
OSMFISH_REGIONS = ("Pia Layer 1", "Layer 2-3 medial", "Layer 3-4", "Layer 4", "Layer 5", "Layer 6", "White matter")
N_SHARED_MOP = 16  # genes of the section that the reference of the motor cortex has

MERFISH_MEASURED = ("Gad1", "Gal", "Sst", "Tac1", "Pnoc", "Slc17a6")
MERFISH_UNMEASURED = ("Gad2", "Slc32a1", "Th", "Vip", "Actb")
MERFISH_TYPES = ("Inhibitory",) * 3 + ("Excitatory",) * 3 + ("Astrocyte", "OD Mature")
MERFISH_LABELS = (
    "Neurons_GABA 1",
    "Neurons_GABA 2",
    "Neurons_GABA 3",
    "Neurons_Vglut2 1",
    "Neurons_Vglut2 2",
    "Neurons_uc",
    "Astrocytes",
    "Oligodendrocytes",
)


def osmfish_cortex(reference: str) -> tuple[AnnData, AnnData]:
    """Simulate a cortex with the names of the osmFISH data, see :func:`stimpute.datasets.osmfish_cortex`."""
    tissue = _tissue(33, 467, len(OSMFISH_REGIONS))
    spatial, other = _named(tissue.spatial, tissue.reference, OSMFISH_MEASURED, OSMFISH_UNMEASURED)
    spatial.obs["region"] = spatial.obs.pop("domain").cat.rename_categories(OSMFISH_REGIONS)
    for adata in (spatial, other):
        _name_types(adata, OSMFISH_TYPES)
    if reference == "ssp":
        return spatial, other[:, spatial.var_names].copy()
    lost = spatial.var_names.difference(OSMFISH_MEASURED, sort=False)[N_SHARED_MOP - len(OSMFISH_MEASURED) :]
    return spatial, other[:, ~other.var_names.isin(lost)].copy()


def merfish_hypothalamus(section: str) -> tuple[AnnData, AnnData]:
    """Simulate a tissue with the names of the MERFISH data; the right half of the tissue is the other animal."""
    tissue = _tissue(60, 440, 4, n_cells=2 * N_CELLS)
    spatial, reference = _named(tissue.spatial, tissue.reference, MERFISH_MEASURED, MERFISH_UNMEASURED)
    _name_types(spatial, MERFISH_TYPES)
    _name_types(reference, MERFISH_LABELS)
    spatial.obs["is_neuron"] = spatial.obs["cell_type"].isin(["Inhibitory", "Excitatory"])
    reference.obs["cell_class"] = reference.obs["cell_type"].astype(str).str.split("_").str[0].astype("category")
    x = spatial.obsm["spatial"][:, 0]
    is_left = x < np.median(x)
    spatial.obs["slice"] = pd.Categorical(np.where(is_left, "left", "right"))
    return spatial[is_left if section == "spatial" else ~is_left].copy(), reference


def starmap_visual_cortex() -> tuple[AnnData, AnnData]:
    """Simulate a section of many genes, in place of the STARmap data."""
    tissue = _tissue(200, 300, 6)
    return tissue.spatial, tissue.reference


def _tissue(n_measured: int, n_unmeasured: int, n_domains: int, n_cells: int = N_CELLS) -> SyntheticTissue:
    return synthetic_tissue(
        n_cells=n_cells,
        n_reference=N_REFERENCE,
        n_measured=n_measured,
        n_unmeasured=n_unmeasured,
        n_domains=n_domains,
        n_protein_dims=N_PROTEIN_DIMS,
    )


def _named(
    spatial: AnnData, reference: AnnData, measured: Sequence[str], unmeasured: Sequence[str]
) -> tuple[AnnData, AnnData]:
    """Give some measured and some unmeasured genes the names of genes."""
    others = reference.var_names.difference(spatial.var_names, sort=False)
    names = dict(zip(spatial.var_names, measured, strict=False)) | dict(zip(others, unmeasured, strict=False))
    for adata in (spatial, reference):
        adata.var_names = [names.get(name, name) for name in adata.var_names]
    return spatial, reference


def _name_types(adata: AnnData, names: Sequence[str]) -> None:
    """Replace the names of the cell types; several types may get the same name."""
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    adata.obs["cell_type"] = pd.Categorical(np.asarray(names)[codes])
