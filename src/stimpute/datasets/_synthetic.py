"""A tissue whose truth is known: cell types in spatial domains, gene programs, and two platforms that look at them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import anndata as ad
import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

CELL_AREA = 150.0  # square micrometres of tissue for each cell
SPATIAL_TOTAL = 4.0  # expected spatial counts of a cell, per measured gene
REFERENCE_TOTAL = 5.0  # expected reference counts of a cell, per gene
SPILLOVER = 0.15  # share of a spatial cell's molecules that belong to the cells around it
DRIFT = 0.5  # spread, in log units, of what a gene does otherwise in a type of the reference


@dataclass(frozen=True)
class SyntheticTissue:
    """A spatial section, a dissociated reference, and what the section truly expresses.

    Attributes
    ----------
    spatial
        Counts [cells, measured genes], CSR float32; ``obsm["spatial"]`` in micrometres; ``obs`` has ``cell_type`` and
        ``domain``.
    reference
        Counts [reference cells, all genes], CSR float32; ``obs`` has ``cell_type``.
    truth
        The same cells as ``spatial``, in the same order, with ALL genes of ``reference``. ``X`` holds
        ``log1p(expected counts / expected measured total * median measured total)`` - the scale of imputed values,
        without counting noise; ``layers["counts"]`` what the spatial platform would have counted; ``var["measured"]``
        which genes are in ``spatial``.
    proteins
        Protein vectors [genes, dimensions]; some genes of ``reference`` have none.
    """

    spatial: ad.AnnData
    reference: ad.AnnData
    truth: ad.AnnData
    proteins: ad.AnnData


@dataclass(frozen=True)
class _Biology:
    """What both platforms look at."""

    activity: np.ndarray  # [types, programs] mean activity of a program in a type
    waves: np.ndarray  # [programs, 3] frequency in x and y, and phase, of the change over space
    swing: np.ndarray  # [programs] how much of the activity changes over space; zero for about half
    loadings: np.ndarray  # [genes, programs]
    baseline: np.ndarray  # [genes] log rate
    own: np.ndarray  # [types, genes] what a gene does apart from its programs
    composition: np.ndarray  # [domains, types]
    dispersion: np.ndarray  # [genes] inverse overdispersion of the counts


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

    Cells of ``n_types`` types lie in ``n_domains`` wavy layers, each with its own mixture of types. A cell expresses
    gene programs, which types share and of which about half also change smoothly over space within a type. The
    reference is an independent sample of the same tissue with other type proportions and genes that behave somewhat
    otherwise in each type. The spatial platform sees each
    gene with its own efficiency (lognormal), fewer molecules, and some of the neighbours' molecules. Counts are
    negative binomial. Protein vectors know a gene's programs behind noise and a strong direction that all proteins
    share, as language-model embeddings do.

    Parameters
    ----------
    n_cells
        Cells of the spatial section.
    n_reference
        Cells of the reference.
    n_measured
        Genes that both datasets have, at least 3.
    n_unmeasured
        Genes that only the reference has.
    n_types
        Cell types.
    n_domains
        Spatial layers.
    n_programs
        Gene programs.
    n_protein_dims
        Length of the protein vectors.
    n_missing_proteins
        Genes without a protein vector, drawn from all genes.
    seed
        Seed of ``numpy.random.default_rng``; the same seed gives the same tissue.

    Returns
    -------
    The section, the reference, the truth of the section and the proteins.

    Raises
    ------
    ValueError
        If a size is too small to simulate.
    """
    sizes = {"n_cells": n_cells, "n_reference": n_reference, "n_types": n_types, "n_domains": n_domains}
    sizes |= {"n_programs": n_programs, "n_protein_dims": n_protein_dims}
    n_genes = n_measured + n_unmeasured
    _check(sizes, n_measured, n_unmeasured, n_missing_proteins)
    rng = np.random.default_rng(seed)
    biology = _biology(rng, n_genes, n_types, n_domains, n_programs)
    genes = pd.Index([f"Gene{i:0{len(str(n_genes))}d}" for i in range(n_genes)])
    measured = np.zeros(n_genes, bool)
    measured[rng.choice(n_genes, n_measured, replace=False)] = True

    spatial_obs, coords, rate = _cells(rng, biology, n_cells, biology.composition)
    truth = _see_spatially(rng, biology, rate, coords, genes, measured)
    truth.obs, truth.obsm["spatial"] = spatial_obs, coords
    spatial = truth[:, measured].copy()
    spatial.X, spatial.var = spatial.layers.pop("counts").copy(), pd.DataFrame(index=genes[measured])

    skewed = biology.composition * rng.lognormal(0, 0.5, n_types)
    drifted = replace(biology, own=biology.own + rng.normal(0, DRIFT, biology.own.shape))
    reference_obs, _, rate = _cells(rng, drifted, n_reference, skewed / skewed.sum(1, keepdims=True))
    depth = rng.lognormal(np.log(REFERENCE_TOTAL * n_genes), 0.4, (n_reference, 1))
    counts = _counts(rng, rate / rate.sum(1, keepdims=True) * depth, biology.dispersion)
    obs = reference_obs[["cell_type"]].set_axis([f"ref{i}" for i in range(n_reference)])
    reference = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=genes))
    return SyntheticTissue(
        spatial, reference, truth, _proteins(rng, biology, genes, n_protein_dims, n_missing_proteins)
    )


def _check(sizes: dict[str, int], n_measured: int, n_unmeasured: int, n_missing: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}={size}: expected at least 1.")
    if n_measured < 3:
        raise ValueError(f"n_measured={n_measured}: imputation needs at least 3 shared genes.")
    if n_unmeasured < 0:
        raise ValueError(f"n_unmeasured={n_unmeasured}: expected 0 or more.")
    if not 0 <= n_missing < n_measured + n_unmeasured:
        raise ValueError(f"n_missing_proteins={n_missing}: expected 0 to {n_measured + n_unmeasured - 1}.")


def _biology(rng: np.random.Generator, n_genes: int, n_types: int, n_domains: int, n_programs: int) -> _Biology:
    chosen = rng.random((n_genes, n_programs)) < 1.5 / n_programs
    chosen[np.arange(n_genes), rng.integers(n_programs, size=n_genes)] = True
    return _Biology(
        activity=rng.gamma(0.5, 1.0, (n_types, n_programs)).clip(max=2.5),
        waves=np.c_[rng.normal(0, 1.2, (n_programs, 2)), rng.uniform(0, 2 * np.pi, n_programs)],
        swing=np.where(rng.random(n_programs) < 0.5, rng.uniform(0.4, 0.9, n_programs), 0.0),
        loadings=chosen * rng.gamma(4, 0.2, (n_genes, n_programs)),
        baseline=rng.normal(0, 1.0, n_genes),
        own=rng.normal(0, 0.5, (n_types, n_genes)),
        composition=rng.dirichlet(np.full(n_types, 0.7), n_domains) * 0.9 + 0.1 / n_types,
        dispersion=rng.lognormal(np.log(3), 0.4, n_genes),
    )


def _cells(
    rng: np.random.Generator, biology: _Biology, n: int, composition: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Cells with a place, a domain, a type and a rate [cells, genes] of each gene, on an arbitrary scale."""
    n_domains, n_types = composition.shape
    unit = rng.random((n, 2)) * [1.25, 1.0]
    depth = unit[:, 1] + 0.06 * np.sin(2 * np.pi * unit[:, 0] * 1.3)
    domain = np.digitize(depth, np.linspace(0, 1, n_domains + 1)[1:-1])
    kind = (rng.random((n, 1)) > composition[domain].cumsum(1)).sum(1).clip(max=n_types - 1)

    field = np.sin(2 * np.pi * unit @ biology.waves[:, :2].T + biology.waves[:, 2])
    activity = biology.activity[kind] * (1 + biology.swing * field) * rng.lognormal(0, 0.35, (n, len(biology.swing)))
    rate = np.exp(biology.baseline + activity @ biology.loadings.T + biology.own[kind])

    labels = {"cell_type": ("type", kind, n_types), "domain": ("layer", domain, n_domains)}
    obs = {
        key: pd.Categorical.from_codes(codes, [f"{name} {i}" for i in range(size)])
        for key, (name, codes, size) in labels.items()
    }
    coords = unit * np.sqrt(n * CELL_AREA / 1.25)
    return pd.DataFrame(obs, index=[f"cell{i}" for i in range(n)]), coords, rate


def _see_spatially(
    rng: np.random.Generator, biology: _Biology, rate: np.ndarray, coords: np.ndarray, genes: pd.Index, seen: np.ndarray
) -> ad.AnnData:
    """The section as the spatial platform sees it, with every gene."""
    n_cells, n_genes = rate.shape
    _, around = cKDTree(coords).query(coords, k=min(7, n_cells))
    share = rate / rate.sum(1, keepdims=True)
    share = (1 - SPILLOVER) * share + SPILLOVER * share[np.reshape(around, (n_cells, -1))].mean(1)
    share *= rng.lognormal(0, 0.8, n_genes)  # the platform's efficiency for each gene
    share /= share[:, seen].sum(1).mean()
    expected = share * rng.lognormal(np.log(SPATIAL_TOTAL * seen.sum()), 0.5, (n_cells, 1))
    counts = _counts(rng, expected, biology.dispersion)

    median = np.median(np.asarray(counts[:, seen].sum(1)))
    signal = np.log1p(expected / expected[:, seen].sum(1, keepdims=True) * median)
    var = pd.DataFrame({"measured": seen}, index=genes)
    return ad.AnnData(signal.astype(np.float32), var=var, layers={"counts": counts})


def _counts(rng: np.random.Generator, expected: np.ndarray, dispersion: np.ndarray) -> csr_matrix:
    """Negative binomial counts, as a Poisson of a gamma rate."""
    return csr_matrix(rng.poisson(expected * rng.gamma(dispersion, 1 / dispersion, expected.shape)).astype(np.float32))


def _proteins(rng: np.random.Generator, biology: _Biology, genes: pd.Index, n_dims: int, n_missing: int) -> ad.AnnData:
    programs = biology.loadings / np.linalg.norm(biology.loadings, axis=1, keepdims=True)
    known = programs @ rng.normal(0, 1, (programs.shape[1], n_dims))
    vectors = 3.5 * rng.normal(0, 1, n_dims) + known + rng.normal(0, 0.7, (len(genes), n_dims))
    kept = np.sort(rng.choice(len(genes), len(genes) - n_missing, replace=False))
    return ad.AnnData(vectors[kept].astype(np.float32), obs=pd.DataFrame(index=genes[kept]))
