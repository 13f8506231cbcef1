"""Values of `crossfit` against the same method written a second time: from counts, in double precision, with NumPy."""

import numpy as np
import pytest
from small import fit, set_up, small_pair


@pytest.fixture(scope="module")
def model():
    return fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 20}, n_folds=2, n_metacells=60)


def unit(x, axis):
    return x / np.maximum(np.linalg.norm(x, axis=axis, keepdims=True), 1e-12)


def softmax(x):
    exponential = np.exp(x - x.max(1, keepdims=True))
    return exponential / exponential.sum(1, keepdims=True)


def log_normalized(counts, target_sum, totals):
    return np.log1p(counts * (target_sum / totals)[:, None])


class Again:
    """Everything that a prediction needs; learned numbers are taken from the model."""

    def __init__(self, model):
        predictor = model.predictor()
        preparation = predictor.fit.preparation
        self.recipe, self.scaling = model.recipe, preparation.scaling
        self.attention = parameters(model.module["autoencoder"])
        self.graph = parameters(model.module["graph"])
        self.fold_of_gene = preparation.folds.fold_of_gene

        self.counts = model.adata[:, model.shared_genes].X.toarray().astype(float)
        self.coords = model.adata.obsm["spatial"]

        counts = model.reference.X.toarray().astype(float)
        totals = counts.sum(1)
        self.expression = log_normalized(counts, np.median(totals), totals)
        self.mean = self.expression.mean(0)
        self.std = self.expression.std(0)
        self.shared = model.reference.var_names.get_indexer(model.shared_genes)
        self.correlation = np.corrcoef(self.expression.T)

        groups = [preparation.metacell == number for number in np.unique(preparation.metacell)]
        metacells = np.stack([self.expression[group].mean(0) for group in groups])
        self.profiles = (metacells - self.mean) / self.std
        self.over_metacells = np.corrcoef(self.profiles.T)

        statistics = np.column_stack([self.mean, self.std, (self.expression > 0).mean(0)])
        scale = preparation.statistics
        self.statistics = np.clip((statistics - scale.mean) / scale.std, -3, 3)

        protein = predictor.ensemble.reference.relations["protein"]
        vectors = unit(protein.vectors - protein.vectors[protein.has_vector].mean(0, dtype=float), 1)
        both = np.outer(protein.has_vector, protein.has_vector)
        self.protein = np.where(both, vectors @ vectors.T, self.correlation)

    def cells(self, fold):
        """Standardize the cells and their niches by the genes that are not held out."""
        totals = np.maximum(self.counts[:, self.fold_of_gene != fold].sum(1), 1)
        values = log_normalized(self.counts, self.scaling.target_sum[fold], totals)
        distance = np.linalg.norm(self.coords[:, None] - self.coords, axis=2)
        np.fill_diagonal(distance, np.inf)
        nearest = np.argsort(distance, axis=1)[:, : self.recipe.n_spatial_neighbors]
        return [(x - self.scaling.mean) / self.scaling.std for x in (values, values[nearest].mean(1))]

    def on_measured_values(self, weights, position):
        """Regress on the measured values, without the target itself where it is measured."""
        others = np.flatnonzero(np.arange(len(self.shared)) != position)
        correlation = self.correlation[np.ix_(self.shared[others], self.shared[others])]
        result = np.zeros_like(weights)
        result[..., others] = weights[..., others] @ np.linalg.inv(
            correlation + self.recipe.ridge * np.eye(len(others))
        )
        return result

    def transferred(self, gene, position, fold):
        """Transfer the correlation of a gene with the measured ones to the spatial platform."""
        cells = self.cells(fold)[0]
        among_cells = cells.T @ cells / len(cells)
        np.fill_diagonal(among_cells, 0)
        original = self.correlation[np.ix_(self.shared, self.shared)]
        regressed = np.stack([self.on_measured_values(row, i) for i, row in enumerate(original)])
        scale = original.std(ddof=1) / (regressed @ among_cells).std()  # over n - 1 and over n, as the model has it
        return scale * self.on_measured_values(self.correlation[gene, self.shared], position) @ among_cells

    def features(self, gene, position, fold):
        """Relate a gene to the measured ones, shape (n_features, n_shared)."""
        correlation = self.correlation[gene, self.shared]
        signed_root = np.sign(correlation) * np.sqrt(np.abs(correlation))
        over_metacells = self.over_metacells[gene, self.shared]
        relations = [correlation, self.protein[gene, self.shared], signed_root, over_metacells]
        return np.stack([*relations, self.transferred(gene, position, fold)])

    def edge_weights(self, features, gene, member):
        """Compute the weights on decorrelated values, shape (n_inputs, n_shared)."""
        p = {name: value[member] for name, value in self.graph.items()}
        source = self.statistics[self.shared]
        hidden = features.T @ p["from_features"] + self.statistics[gene] @ p["from_target"] + source @ p["from_source"]
        correction = np.maximum(hidden + p["bias"][0], 0) @ p["readout"][0] + p["offset"][0]
        linear = features.T @ p["linear"][0] * np.exp(source @ p["source_scale"])
        return (linear + 0.1 * correction).T

    def attend(self, cells, fold, member):
        """Describe the cells as mixtures of metacells, from the genes that are not held out."""
        p = {name: value[member] for name, value in self.attention.items()}
        weight = np.exp(p["log_weights"]) * (self.fold_of_gene != fold)
        z = unit(cells * weight @ p["queries"], 1)
        keys = unit(self.profiles[:, self.shared] * weight @ p["keys"], 1)
        return p["scale"] * softmax(np.exp(p["log_temperature"]) * z @ keys.T)

    def z_score(self, gene, fold):
        """Predict the standardized expression of a gene, shape (n_cells,)."""
        position = np.flatnonzero(self.shared == gene)
        position = int(position[0]) if len(position) else None
        inputs = self.cells(fold)
        features = self.features(gene, position, fold)
        members = range(len(self.attention["scale"])) if fold is None else [fold]
        by_member = []
        for member in members:
            weights = self.on_measured_values(self.edge_weights(features, gene, member), position)
            messages = sum(x @ weight for x, weight in zip(inputs, weights, strict=True))
            by_member.append(self.attend(inputs[0], fold, member) @ self.profiles[:, gene] + messages)
        return np.mean(by_member, axis=0)


def parameters(network):
    return {name: value.detach().double().numpy() for name, value in network.named_parameters()}


@pytest.mark.parametrize("measured", [False, True])
def test_values_are_those_of_the_method_in_double_precision(model, measured):
    again = Again(model)
    known = model.reference.var_names.isin(model.shared_genes) == measured
    genes = np.flatnonzero(known & (again.std > 0))[:5]
    imputed = model.impute(genes=list(model.reference.var_names[genes]), progress=False)
    for gene, found in zip(genes, imputed.X.T, strict=True):
        position = np.flatnonzero(again.shared == gene)
        fold = int(again.fold_of_gene[position[0]]) if measured else None
        table = model.predictor().gene_block(np.array([gene]), fold).table.iloc[0]
        z_score = again.z_score(gene, fold)
        slope = model.predictor().fit.calibration.slope
        expected = np.maximum(table["expected_mean"] + table["expected_std"] * slope * z_score, 0)
        assert expected.std() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
