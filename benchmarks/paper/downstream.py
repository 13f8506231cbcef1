"""What an analysis would find in predicted genes: cell types, markers, domains, spatially variable genes."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from _pairs import Pair
from benchmarks.paper._downstream_page import show
from benchmarks.paper._predictions import MEASURED, OURS, PARTS, by_method, held_out
from benchmarks.paper._study import Study
from benchmarks.paper.patterns import morans_i
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ORDER = 65
PERMUTED = "measured, cells permuted"
MIN_CELLS = 15
N_AROUND = 15  # cells that are averaged to find domains, with the cell itself
N_TOP = 3  # markers of a type that are compared
DOMAINS = ("region", "domain")


def measure(pair: Pair, seed: int, part: str) -> pd.DataFrame:
    """Do each analysis with every prediction; in our part with the measured genes, too, and with permuted cells."""
    predicted = held_out(pair, seed, part)
    matrices = by_method(predicted)
    if part == OURS:
        order = np.random.default_rng(seed).permutation(predicted.n_obs)
        matrices = {MEASURED: predicted.X, **matrices, PERMUTED: predicted.X[order]}
    of_measured = Analyses(predicted, predicted.X, seed)
    return pd.DataFrame(
        [_row(name, Analyses(predicted, matrix, seed), of_measured) for name, matrix in matrices.items()]
    )


class Analyses:
    """What is found in one matrix of cells × genes."""

    def __init__(self, cells: ad.AnnData, values: np.ndarray, seed: int) -> None:
        self.cells = ad.AnnData(np.asarray(values), obs=cells.obs, var=cells.var[[]], obsm=dict(cells.obsm))
        self.seed = seed
        counts = cells.obs["cell_type"].astype(str).value_counts()
        self.types = sorted(counts.index[counts >= MIN_CELLS])
        self.markers = self._markers()
        self.morans_i = morans_i(self.cells.X, self.cells.obsm["spatial"])

    def type_accuracy(self) -> float:
        """Predict the type of cells from the genes, five-fold, and return the balanced accuracy."""
        labels = self.cells.obs["cell_type"].astype(str).to_numpy()
        kept = np.isin(labels, self.types)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
        folds = StratifiedKFold(5, shuffle=True, random_state=self.seed)
        found = cross_val_predict(model, self.cells.X[kept], labels[kept], cv=folds)
        return balanced_accuracy_score(labels[kept], found)

    def _markers(self) -> pd.DataFrame:
        """Test every gene in every type against all other cells; columns `type`, `names`, `scores`, `pvals_adj`."""
        tested = ad.AnnData(self.cells.X, obs=self.cells.obs[["cell_type"]].astype(str), var=self.cells.var)
        tested.uns["log1p"] = {"base": None}
        sc.tl.rank_genes_groups(tested, "cell_type", groups=self.types, method="wilcoxon", tie_correct=True)
        return sc.get.rank_genes_groups_df(tested, self.types).rename(columns={"group": "type"})

    def n_markers(self) -> float:
        """Count the genes per type that are significantly higher than elsewhere."""
        found = (self.markers["pvals_adj"] < 0.05) & (self.markers["scores"] > 0)
        return found.sum() / len(self.types)

    def domain_ari(self) -> float:
        """Cluster the means over squidpy's neighbors, as many clusters as domains, and compare with the domains."""
        key = next((key for key in DOMAINS if key in self.cells.obs), None)
        if key is None:
            return np.nan
        domains = self.cells.obs[key].astype(str)
        means = StandardScaler().fit_transform(_around(self.cells) @ self.cells.X / N_AROUND)
        components = PCA(min(15, means.shape[1] - 1), random_state=0).fit_transform(means)
        found = KMeans(domains.nunique(), n_init=10, random_state=self.seed).fit_predict(components)
        return adjusted_rand_score(domains, found)


def _around(cells: ad.AnnData) -> sparse.csr_matrix:
    """Return the graph of squidpy, cells × cells: 1 for a cell itself and for its nearest ones."""
    import squidpy as sq  # takes seconds to import

    graph = sq.gr.spatial_neighbors_knn(cells, n_neighs=N_AROUND - 1, set_diag=True, copy=True)
    return sparse.csr_matrix(graph.connectivities)


def _row(name: str, found: Analyses, measured: Analyses) -> dict:
    scores = {
        one: table.markers.pivot(index="names", columns="type", values="scores")
        for one, table in (("found", found), ("measured", measured))
    }
    return {
        "method": name,
        "type accuracy": found.type_accuracy(),
        "types": len(measured.types),
        "genes": found.cells.n_vars,
        "markers per type": found.n_markers(),
        **_marker_agreement(scores["measured"], scores["found"]),
        "false markers": _false_markers(found.markers, measured.markers),
        "domain ARI": found.domain_ari(),
        "Moran's I": found.morans_i.mean(),
        "Moran's I higher": (found.morans_i > measured.morans_i).mean(),
        "Moran's I rank": spearmanr(found.morans_i, measured.morans_i).statistic,
    }


def _marker_agreement(measured: pd.DataFrame, found: pd.DataFrame) -> dict[str, float]:
    """Compare how genes rank as markers of each type; means over types."""
    found = found.loc[measured.index]
    ranks = [spearmanr(measured[one], found[one]).statistic for one in measured]
    top = [len(set(measured[one].nlargest(N_TOP).index) & set(found[one].nlargest(N_TOP).index)) for one in measured]
    return {"marker rank": np.nanmean(ranks), "top markers found": np.mean(top) / N_TOP}


def _false_markers(found: pd.DataFrame, measured: pd.DataFrame) -> float:
    """Compute the share of the markers that are not higher in the measurement, at no level of significance."""
    both = found.merge(measured, on=["type", "names"], suffixes=("", " measured"))
    called = both[(both["pvals_adj"] < 0.05) & (both["scores"] > 0)]
    return float((called["scores measured"] <= 0).mean()) if len(called) else np.nan


STUDY = Study(
    title="What an analysis finds in predicted genes",
    paper="",
    question="Are types, markers, domains and spatially variable genes found in predicted genes as in measured ones?",
    measure=measure,
    show=show,
    seeds=(0,),
    parts=PARTS,
)
