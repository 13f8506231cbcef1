"""Compare which genes go together in the reference and in the section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from scipy.stats import rankdata

from stimpute._messages import warn
from stimpute.data._arrays import Shape
from stimpute.data._reference import Reference, ReferenceDataset
from stimpute.data._space import sample_cells

MIN_GENES = 10  # with fewer shared genes, permuted ones agree by chance
MAX_GENES = 300
MAX_CELLS = 5000
N_PERMUTATIONS = 100
MIN_DEVIATIONS = 2.0  # of permuted genes
MAX_CHANCE = 0.1  # of a first reference that is warned of: a small panel does not tell that it is a wrong one


@dataclass(frozen=True)
class Agreement:
    """How well co-expression in each dataset of the reference agrees with that in the section.

    Both are 0 for a dataset with too few shared genes to tell.
    """

    correlation: Annotated[
        np.ndarray,
        Shape("n_datasets", about="rank correlation of co-expression in the reference and in the section"),
    ]
    chance: Annotated[
        np.ndarray, Shape("n_datasets", about="standard deviation of this correlation if genes are permuted")
    ]

    @property
    def is_beyond_chance(self) -> np.ndarray:
        """Whether a dataset agrees more than permuted genes would, or cannot be judged, shape (n_datasets,)."""
        return self.correlation >= MIN_DEVIATIONS * self.chance

    def warn(self, datasets: tuple[str, ...]) -> None:
        """Warn of datasets that agree no more than permuted genes would; of the first only where chance is small.

        Parameters
        ----------
        datasets
            Names of the datasets; empty for one.
        """
        is_sure = self.chance < MAX_CHANCE
        is_sure[1:] = True
        for index in np.flatnonzero(~self.is_beyond_chance & is_sure):
            name = f"the reference {datasets[index]!r}" if datasets else "the reference"
            use = "It is hardly used. " if index > 0 else ""
            warn(
                f"In {name} the shared genes are not co-expressed as in the spatial data: a correlation of "
                f"{self.correlation[index]:.2f}, where permuted genes have 0 ± {self.chance[index]:.2f}. {use}Check "
                "that the gene names are right, and that it is the same tissue.",
            )


def compare_coexpression(reference: Reference, standardized: np.ndarray) -> Agreement:
    """Compare co-expression in each dataset of the reference with that in the section.

    Parameters
    ----------
    reference
        The reference.
    standardized
        Expression of the shared genes in some spatial cells, shape (n_cells, n_shared).
    """
    found = [_compare(dataset, reference.shared, standardized) for dataset in reference.expression.datasets]
    correlation, chance = np.array(found).T
    return Agreement(correlation, chance)


def _compare(dataset: ReferenceDataset, shared: np.ndarray, standardized: np.ndarray) -> tuple[float, float]:
    """Return the rank correlation over all pairs of genes, and its standard deviation for permuted genes."""
    cells = sample_cells(np.arange(dataset.n_cells), MAX_CELLS)
    expressed = np.flatnonzero((dataset.detection_rate[shared] > 0) & (np.ptp(standardized, axis=0) > 0))
    genes = expressed[sample_cells(np.arange(len(expressed)), MAX_GENES)]
    in_reference = dataset.by_gene[shared[genes]][:, cells].toarray()
    varies = np.ptp(in_reference, axis=1) > 0  # a standard deviation would have rounding errors
    if varies.sum() < MIN_GENES:
        return 0.0, 0.0
    in_reference = _ranks(in_reference[varies])
    in_section = _ranks(standardized[:, genes[varies]].T)
    rng = np.random.default_rng(0)
    permuted = []
    for _ in range(N_PERMUTATIONS):
        order = rng.permutation(len(in_section))
        permuted.append((in_reference[order][:, order] * in_section).sum())
    return float((in_reference * in_section).sum()), float(np.sqrt(np.mean(np.square(permuted))))


def _ranks(expression: np.ndarray) -> np.ndarray:
    """Rank the correlations of all pairs of genes; centered, of unit length, 0 on the diagonal."""
    n_genes = len(expression)
    pairs = np.triu_indices(n_genes, 1)
    ranks = rankdata(np.corrcoef(expression)[pairs])
    ranks -= ranks.mean()
    of_pairs = np.zeros((n_genes, n_genes))
    of_pairs[pairs] = ranks / max(np.linalg.norm(ranks), 1e-12)
    return (of_pairs + of_pairs.T) / np.sqrt(2)
