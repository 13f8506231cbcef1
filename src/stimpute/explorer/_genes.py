"""Search genes, say what their reliability means, and find genes that are predicted alike."""

from __future__ import annotations

import numpy as np
import pandas as pd

METRICS = {"pcc": "Pearson correlation", "css": "cosine similarity"}


class GeneTable:
    """The genes of the reference, most reliable first.

    Parameters
    ----------
    table
        One row per gene: `reliability`, `n_edges`, `measured`.
    metric
        Metric that the reliability predicts, `"pcc"` or `"css"`.

    Attributes
    ----------
    ranked
        The table in the order of reliability.
    """

    def __init__(self, table: pd.DataFrame, metric: str) -> None:
        self.metric = metric
        self.ranked = table.sort_values("reliability", ascending=False, kind="stable")
        self._lower = self.ranked.index.str.lower()
        self._unmeasured = table.loc[~table["measured"].to_numpy(bool), "reliability"].to_numpy()

    def search(self, text: str) -> pd.DataFrame:
        """Find genes by a part of their name, in any case.

        Returns
        -------
        Rows of `ranked`: the gene of that name first, then names that begin with the text, then names that contain it.
        """
        wanted = text.strip().lower()
        if not wanted:
            return self.ranked
        contains = self._lower.str.contains(wanted, regex=False)
        rank = 2 - self._lower.str.startswith(wanted).astype(int) - (self._lower == wanted).astype(int)
        rows = np.flatnonzero(contains)
        return self.ranked.iloc[rows[np.argsort(rank[rows], kind="stable")]]

    def explain(self, gene: str) -> list[str]:
        """Say in sentences how reliable a gene is, and what that means."""
        row = self.ranked.loc[gene]
        reliability = float(row["reliability"])
        if reliability <= 0:
            return ["The model expects no agreement with the truth: the map of this gene means nothing."]
        sentences = [
            f"Over all cells, the imputed values are expected to have a {METRICS[self.metric]} of about "
            f"{reliability:.2f} with what this platform would measure."
        ]
        if self.metric == "pcc":
            sentences.append(
                f"That is {reliability**2:.0%} of the variance between cells, counting noise included; the rest is not "
                "in the map."
            )
        if len(self._unmeasured):
            n_better = int((self._unmeasured > reliability).sum())
            sentences.append(
                f"{n_better:,} of the {len(self._unmeasured):,} genes that were not measured have a higher reliability."
            )
        sentences.append("Within one cell type the agreement may be lower.")
        return sentences


class GeneProfiles:
    """Predicted profiles of all genes in a sample of cells.

    Parameters
    ----------
    values
        Predicted expression, shape (n_sampled_cells, n_genes).
    genes
        Names, shape (n_genes,).
    """

    def __init__(self, values: np.ndarray, genes: pd.Index) -> None:
        centered = values - values.mean(axis=0)
        varies = values.max(axis=0) > values.min(axis=0)
        norm = np.linalg.norm(centered, axis=0)
        self.genes = genes
        self.n_cells = len(values)
        self._profiles = centered / np.where(varies, norm, np.inf)

    def alike(self, gene: str, n: int = 10) -> pd.Series:
        """Find the genes whose predicted values correlate most with those of a gene, highest first."""
        column = self._profiles[:, self.genes.get_loc(gene)]
        correlation = pd.Series(column @ self._profiles, index=self.genes, name="correlation")
        return correlation.drop(gene).nlargest(n)
