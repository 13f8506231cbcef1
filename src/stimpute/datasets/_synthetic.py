"""Simulate a tissue with known truth: cell types in spatial domains, gene programs, and two platforms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from stimpute._arguments import check_arguments
from stimpute._messages import check_at_least, check_count

MIN_SHARED_GENES = 3  # that imputation needs

# Section. Sizes are in units of the section's height, unless noted.
CELL_AREA = 150.0  # square micrometers of tissue per cell
ASPECT = 1.25  # width of the section
DOMAIN_WAVE = (0.06, 1.3)  # height and frequency of the waves of the domains
# Biology, in log units of the rate of a gene unless noted.
PROGRAMS_PER_GENE = 1.5  # expected number, beside the one that each gene has
MAX_ACTIVITY = 2.5  # of a program
CELL_NOISE = 0.35  # standard deviation of the activity of a program between similar cells
OWN_EFFECT = 0.5  # standard deviation of the effect of a cell type on a gene, apart from programs
DRIFT = 0.5  # standard deviation of the change of this effect in the reference
MIN_COMPOSITION = 0.1  # fraction of a domain that is spread evenly over the cell types
# Platforms.
SPATIAL_TOTAL = 4.0  # expected spatial counts of a cell, per measured gene
REFERENCE_TOTAL = 5.0  # expected reference counts of a cell, per gene
SPATIAL_DEPTH = 0.5  # standard deviation of the log total of a cell
REFERENCE_DEPTH = 0.4
SPILLOVER = 0.15  # fraction of the molecules of a spatial cell that belong to its neighbors
N_SPILLOVER = 7  # cells that spillover is averaged over, the cell itself included
EFFICIENCY = 0.8  # standard deviation of the log efficiency with which the spatial platform detects a gene
# Protein vectors. The part that depends on the programs of a gene has standard deviation 1.
SHARED_DIRECTION = 3.5
PROTEIN_NOISE = 0.7


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


@dataclass(frozen=True)
class _Biology:
    """Properties of the tissue, common to both platforms."""

    activity: np.ndarray  # mean activity of the programs in a cell type, shape (n_types, n_programs)
    waves: np.ndarray  # frequency in x and y and phase of the change over space, shape (n_programs, 3)
    amplitude: np.ndarray  # fraction of the activity that changes over space, 0 for about half, shape (n_programs,)
    loadings: np.ndarray  # effect of the programs on a gene, shape (n_genes, n_programs)
    baseline: np.ndarray  # log rate of a gene, shape (n_genes,)
    own: np.ndarray  # effect of the cell type on a gene, apart from programs, shape (n_types, n_genes)
    composition: np.ndarray  # fractions of the cell types in a domain, shape (n_domains, n_types)
    dispersion: np.ndarray  # inverse overdispersion of the counts of a gene, shape (n_genes,)


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
    biology = _draw_biology(rng, n_genes, n_types, n_domains, n_programs)
    genes = pd.Index([f"Gene{i:0{len(str(n_genes))}d}" for i in range(n_genes)])
    is_measured = np.zeros(n_genes, bool)
    is_measured[rng.choice(n_genes, n_measured, replace=False)] = True

    obs, coordinates, rate = _draw_cells(rng, biology, n_cells)
    truth = _measure_section(rng, biology, rate, coordinates, genes, is_measured)
    truth.obs = obs
    truth.obsm["spatial"] = coordinates
    spatial = truth[:, is_measured].copy()
    spatial.X = spatial.layers.pop("counts").copy()
    spatial.var = pd.DataFrame(index=genes[is_measured])

    reference = _draw_reference(rng, biology, genes, n_reference)
    proteins = _draw_proteins(rng, biology, genes, n_protein_dims, n_missing_proteins)
    return SyntheticTissue(spatial, reference, truth, proteins)


def _draw_biology(rng: np.random.Generator, n_genes: int, n_types: int, n_domains: int, n_programs: int) -> _Biology:
    """Draw the properties of the tissue."""
    is_member = rng.random((n_genes, n_programs)) < PROGRAMS_PER_GENE / n_programs
    is_member[np.arange(n_genes), rng.integers(n_programs, size=n_genes)] = True
    return _Biology(
        activity=rng.gamma(0.5, 1.0, (n_types, n_programs)).clip(max=MAX_ACTIVITY),
        waves=np.c_[rng.normal(0, 1.2, (n_programs, 2)), rng.uniform(0, 2 * np.pi, n_programs)],
        amplitude=np.where(rng.random(n_programs) < 0.5, rng.uniform(0.4, 0.9, n_programs), 0.0),
        loadings=is_member * rng.gamma(4, 0.2, (n_genes, n_programs)),
        baseline=rng.normal(0, 1.0, n_genes),
        own=rng.normal(0, OWN_EFFECT, (n_types, n_genes)),
        composition=rng.dirichlet(np.full(n_types, 0.7), n_domains) * (1 - MIN_COMPOSITION) + MIN_COMPOSITION / n_types,
        dispersion=rng.lognormal(np.log(3), 0.4, n_genes),
    )


def _draw_cells(
    rng: np.random.Generator, biology: _Biology, n_cells: int
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Draw labels, coordinates and the relative rate of each gene, shape (n_cells, n_genes)."""
    n_domains, n_types = biology.composition.shape
    position = rng.random((n_cells, 2)) * [ASPECT, 1.0]
    wave_height, wave_frequency = DOMAIN_WAVE
    depth = position[:, 1] + wave_height * np.sin(2 * np.pi * position[:, 0] * wave_frequency)
    domain = np.digitize(depth, np.linspace(0, 1, n_domains + 1)[1:-1])
    cumulative = biology.composition[domain].cumsum(1)
    cell_type = (rng.random((n_cells, 1)) > cumulative).sum(1).clip(max=n_types - 1)

    field = np.sin(2 * np.pi * position @ biology.waves[:, :2].T + biology.waves[:, 2])
    noise = rng.lognormal(0, CELL_NOISE, (n_cells, len(biology.amplitude)))
    activity = biology.activity[cell_type] * (1 + biology.amplitude * field) * noise
    rate = np.exp(biology.baseline + activity @ biology.loadings.T + biology.own[cell_type])

    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(cell_type, [f"type {i}" for i in range(n_types)]),
            "domain": pd.Categorical.from_codes(domain, [f"layer {i}" for i in range(n_domains)]),
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    return obs, position * np.sqrt(n_cells * CELL_AREA / ASPECT), rate


def _measure_section(
    rng: np.random.Generator,
    biology: _Biology,
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


def _draw_reference(rng: np.random.Generator, biology: _Biology, genes: pd.Index, n_cells: int) -> AnnData:
    """Draw a reference with other proportions of types and other effects of the types on the genes."""
    composition = biology.composition * rng.lognormal(0, 0.5, len(biology.activity))
    own = biology.own + rng.normal(0, DRIFT, biology.own.shape)
    drifted = replace(biology, own=own, composition=composition / composition.sum(1, keepdims=True))
    obs, _, rate = _draw_cells(rng, drifted, n_cells)
    total = rng.lognormal(np.log(REFERENCE_TOTAL * len(genes)), REFERENCE_DEPTH, (n_cells, 1))
    counts = _draw_counts(rng, rate / rate.sum(1, keepdims=True) * total, biology.dispersion)
    obs = obs[["cell_type"]].set_axis([f"ref{i}" for i in range(n_cells)])
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))


def _draw_counts(rng: np.random.Generator, expected: np.ndarray, dispersion: np.ndarray) -> csr_matrix:
    """Draw negative binomial counts, as Poisson counts with gamma rates."""
    rate = expected * rng.gamma(dispersion, 1 / dispersion, expected.shape)
    return csr_matrix(rng.poisson(rate).astype(np.float32))


def _draw_proteins(
    rng: np.random.Generator, biology: _Biology, genes: pd.Index, n_dims: int, n_missing: int
) -> AnnData:
    """Draw protein vectors from the programs of the genes, noise and a direction that all proteins share."""
    programs = biology.loadings / np.linalg.norm(biology.loadings, axis=1, keepdims=True)
    from_programs = programs @ rng.normal(0, 1, (programs.shape[1], n_dims))
    shared = SHARED_DIRECTION * rng.normal(0, 1, n_dims)
    vectors = shared + from_programs + rng.normal(0, PROTEIN_NOISE, (len(genes), n_dims))
    kept = np.sort(rng.choice(len(genes), len(genes) - n_missing, replace=False))
    return AnnData(vectors[kept].astype(np.float32), obs=pd.DataFrame(index=genes[kept]))
