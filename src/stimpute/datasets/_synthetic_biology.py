"""Simulate the biology of a tissue: gene programs, cell types in spatial domains, and protein vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData

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
# Protein vectors. The part that depends on the programs of a gene has standard deviation 1.
SHARED_DIRECTION = 3.5
PROTEIN_NOISE = 0.7


@dataclass(frozen=True)
class Biology:
    """Properties of the tissue, common to both platforms."""

    activity: np.ndarray  # mean activity of the programs in a cell type, shape (n_types, n_programs)
    waves: np.ndarray  # frequency in x and y and phase of the change over space, shape (n_programs, 3)
    amplitude: np.ndarray  # fraction of the activity that changes over space, 0 for about half, shape (n_programs,)
    loadings: np.ndarray  # effect of the programs on a gene, shape (n_genes, n_programs)
    baseline: np.ndarray  # log rate of a gene, shape (n_genes,)
    own: np.ndarray  # effect of the cell type on a gene, apart from programs, shape (n_types, n_genes)
    composition: np.ndarray  # fractions of the cell types in a domain, shape (n_domains, n_types)
    dispersion: np.ndarray  # inverse overdispersion of the counts of a gene, shape (n_genes,)

    def drifted(self, rng: np.random.Generator) -> Biology:
        """Change the proportions of the cell types and their effects on genes, as in another sample of the tissue."""
        composition = self.composition * rng.lognormal(0, 0.5, len(self.activity))
        own = self.own + rng.normal(0, DRIFT, self.own.shape)
        return replace(self, own=own, composition=composition / composition.sum(1, keepdims=True))


def draw_biology(rng: np.random.Generator, n_genes: int, n_types: int, n_domains: int, n_programs: int) -> Biology:
    """Draw the properties of the tissue."""
    is_member = rng.random((n_genes, n_programs)) < PROGRAMS_PER_GENE / n_programs
    is_member[np.arange(n_genes), rng.integers(n_programs, size=n_genes)] = True
    return Biology(
        activity=rng.gamma(0.5, 1.0, (n_types, n_programs)).clip(max=MAX_ACTIVITY),
        waves=np.c_[rng.normal(0, 1.2, (n_programs, 2)), rng.uniform(0, 2 * np.pi, n_programs)],
        amplitude=np.where(rng.random(n_programs) < 0.5, rng.uniform(0.4, 0.9, n_programs), 0.0),
        loadings=is_member * rng.gamma(4, 0.2, (n_genes, n_programs)),
        baseline=rng.normal(0, 1.0, n_genes),
        own=rng.normal(0, OWN_EFFECT, (n_types, n_genes)),
        composition=rng.dirichlet(np.full(n_types, 0.7), n_domains) * (1 - MIN_COMPOSITION) + MIN_COMPOSITION / n_types,
        dispersion=rng.lognormal(np.log(3), 0.4, n_genes),
    )


def draw_cells(rng: np.random.Generator, biology: Biology, n_cells: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
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


def draw_proteins(rng: np.random.Generator, biology: Biology, genes: pd.Index, n_dims: int, n_missing: int) -> AnnData:
    """Draw protein vectors from the programs of the genes, noise and a direction that all proteins share."""
    programs = biology.loadings / np.linalg.norm(biology.loadings, axis=1, keepdims=True)
    from_programs = programs @ rng.normal(0, 1, (programs.shape[1], n_dims))
    shared = SHARED_DIRECTION * rng.normal(0, 1, n_dims)
    vectors = shared + from_programs + rng.normal(0, PROTEIN_NOISE, (len(genes), n_dims))
    kept = np.sort(rng.choice(len(genes), len(genes) - n_missing, replace=False))
    return AnnData(vectors[kept].astype(np.float32), obs=pd.DataFrame(index=genes[kept]))
