"""Simulate a tissue with known truth: a section and a reference of the same biology, measured by two platforms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from stimpute._arguments import check_arguments
from stimpute._messages import check_at_least, check_count
from stimpute.datasets._synthetic_biology import Biology, draw_biology, draw_cells, draw_proteins

MIN_SHARED_GENES = 3  # that imputation needs

SPATIAL_TOTAL = 4.0  # expected spatial counts of a cell, per measured gene
REFERENCE_TOTAL = 5.0  # expected reference counts of a cell, per gene
SPATIAL_DEPTH = 0.5  # standard deviation of the log total of a cell
REFERENCE_DEPTH = 0.4
SPILLOVER = 0.15  # fraction of the molecules of a spatial cell that belong to its neighbors
N_SPILLOVER = 7  # cells that spillover is averaged over, the cell itself included
EFFICIENCY = 0.8  # standard deviation of the log efficiency with which the spatial platform detects a gene


@dataclass(frozen=True)
class SyntheticTissue:
    """A spatial section, a dissociated reference, and the true expression of the section.

    Attributes
    ----------
    spatial
        Counts, CSR float32, shape (n_cells, n_measured); `obsm["spatial"]` in micrometers; `obs` has `cell_type` and
        `domain`.
    reference
        Counts, CSR float32, shape (n_reference, n_genes); `obs` has `cell_type`.
    truth
        The cells of `spatial`, in the same order, with all genes of `reference`. `X` is
        `log1p(expected counts / expected measured total * median measured total)`, the scale of imputed values,
        without counting noise. `layers["counts"]` has the counts that the spatial platform would have measured;
        `var["measured"]` tells which genes are in `spatial`.
    proteins
        Protein vectors, shape (n_proteins, n_protein_dims); some genes of `reference` have none.
    """

    spatial: AnnData
    reference: AnnData
    truth: AnnData
    proteins: AnnData


def synthetic_tissue(
    n_cells: int = 2000,
    n_reference: int = 3000,
    n_measured: int = 60,
    n_unmeasured: int = 240,
    n_types: int = 8,
    n_domains: int = 4,
    n_programs: int = 12,
    n_protein_dims: int = 64,
    n_missing_proteins: int = 12,
    seed: int = 0,
) -> SyntheticTissue:
    """Simulate a spatial section and a single-cell reference of the same tissue.

    Cells of several types lie in wavy layers, the domains. Each domain has its own mixture of types. A cell expresses
    gene programs, which types share; about half of them also change smoothly over space within a type. The reference
    is an independent sample of the same tissue, with other proportions of types, and with genes that are expressed
    somewhat differently in each type. The spatial platform detects each gene with its own efficiency (lognormal),
    detects fewer molecules, and assigns some molecules of the neighbors to a cell. Counts are negative binomial.
    Protein vectors depend on the programs of a gene, with noise, and share a strong common direction, as embeddings of
    language models do.

    Parameters
    ----------
    n_cells
        Number of cells of the spatial section.
    n_reference
        Number of cells of the reference.
    n_measured
        Number of genes in both datasets, at least 3.
    n_unmeasured
        Number of genes in the reference only.
    n_types
        Number of cell types.
    n_domains
        Number of spatial domains.
    n_programs
        Number of gene programs.
    n_protein_dims
        Length of the protein vectors.
    n_missing_proteins
        Number of genes without a protein vector, drawn from all genes.
    seed
        Seed of `numpy.random.default_rng`. The same seed gives the same tissue.

    Returns
    -------
    The section, the reference, the truth of the section and the proteins.

    Raises
    ------
    ValueError
        If a size is too small, or every gene lacks a protein.

    Examples
    --------
    >>> tissue = stimpute.datasets.synthetic_tissue(n_cells=500, n_reference=500)
    >>> StImputeModel.setup_anndata(tissue.spatial)
    >>> StImputeModel.setup_anndata(tissue.reference)
    >>> model = StImputeModel(tissue.spatial, tissue.reference)
    """
    check_arguments(synthetic_tissue, locals())
    n_genes = n_measured + n_unmeasured
    check_count(1, n_cells=n_cells, n_reference=n_reference, n_types=n_types, n_domains=n_domains)
    check_count(1, n_programs=n_programs, n_protein_dims=n_protein_dims)
    check_at_least(MIN_SHARED_GENES, n_measured=n_measured)
    check_at_least(0, n_unmeasured=n_unmeasured, n_missing_proteins=n_missing_proteins)
    if n_missing_proteins >= n_genes:
        raise ValueError(f"`n_missing_proteins` is {n_missing_proteins}; expected at most {n_genes - 1}.")
    # The order of the draws determines the tissue of a seed: do not change it.
    rng = np.random.default_rng(seed)
    biology = draw_biology(rng, n_genes, n_types, n_domains, n_programs)
    genes = pd.Index([f"Gene{i:0{len(str(n_genes))}d}" for i in range(n_genes)])
    is_measured = np.zeros(n_genes, bool)
    is_measured[rng.choice(n_genes, n_measured, replace=False)] = True

    obs, coordinates, rate = draw_cells(rng, biology, n_cells)
    truth = _measure_section(rng, biology, rate, coordinates, genes, is_measured)
    truth.obs = obs
    truth.obsm["spatial"] = coordinates
    spatial = truth[:, is_measured].copy()
    spatial.X = spatial.layers.pop("counts").copy()
    spatial.var = pd.DataFrame(index=genes[is_measured])

    reference = _draw_reference(rng, biology, genes, n_reference)
    proteins = draw_proteins(rng, biology, genes, n_protein_dims, n_missing_proteins)
    return SyntheticTissue(spatial, reference, truth, proteins)


def _measure_section(
    rng: np.random.Generator,
    biology: Biology,
    rate: np.ndarray,
    coordinates: np.ndarray,
    genes: pd.Index,
    is_measured: np.ndarray,
) -> AnnData:
    """Draw the counts of the spatial platform for all genes, and compute their expected values."""
    n_cells, n_genes = rate.shape
    _, neighbors = cKDTree(coordinates).query(coordinates, k=min(N_SPILLOVER, n_cells))
    neighbors = np.reshape(neighbors, (n_cells, -1))
    share = rate / rate.sum(1, keepdims=True)
    share = (1 - SPILLOVER) * share + SPILLOVER * share[neighbors].mean(1)
    share *= rng.lognormal(0, EFFICIENCY, n_genes)
    share /= share[:, is_measured].sum(1).mean()
    total = rng.lognormal(np.log(SPATIAL_TOTAL * is_measured.sum()), SPATIAL_DEPTH, (n_cells, 1))
    expected = share * total
    counts = _draw_counts(rng, expected, biology.dispersion)

    median = np.median(np.asarray(counts[:, is_measured].sum(1)))
    log_expected = np.log1p(expected / expected[:, is_measured].sum(1, keepdims=True) * median)
    var = pd.DataFrame({"measured": is_measured}, index=genes)
    return AnnData(log_expected.astype(np.float32), var=var, layers={"counts": counts})


def _draw_reference(rng: np.random.Generator, biology: Biology, genes: pd.Index, n_cells: int) -> AnnData:
    """Draw the counts of dissociated cells of another sample."""
    other = biology.drifted(rng)
    obs, _, rate = draw_cells(rng, other, n_cells)
    total = rng.lognormal(np.log(REFERENCE_TOTAL * len(genes)), REFERENCE_DEPTH, (n_cells, 1))
    counts = _draw_counts(rng, rate / rate.sum(1, keepdims=True) * total, other.dispersion)
    obs = obs[["cell_type"]].set_axis([f"ref{i}" for i in range(n_cells)])
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))


def _draw_counts(rng: np.random.Generator, expected: np.ndarray, dispersion: np.ndarray) -> csr_matrix:
    """Draw negative binomial counts, as Poisson counts with gamma rates."""
    rate = expected * rng.gamma(dispersion, 1 / dispersion, expected.shape)
    return csr_matrix(rng.poisson(rate).astype(np.float32))
