"""What the predictor of `crossfit` computes from weights and parts, against numbers by hand and NumPy."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from small import QUIET, fit, set_up, small_pair

from stimpute import StImputeModel
from stimpute.calibrate._intervals import GRID, Intervals
from stimpute.calibrate._moments import MATCHED_MEAN, MATCHED_STD, MIN_STD
from stimpute.recipes import OutputOptions, _crossfit_calibration, _crossfit_predictor
from stimpute.recipes._crossfit_ensemble import N_STRONGEST, CellBlock, GeneWeights, add_parts, log_std
from stimpute.recipes._crossfit_predictor import CrossfitGeneBlock, effective_number


@pytest.fixture(scope="module")
def model():
    """A model of two references; neither expresses the last unmeasured gene."""
    spatial, reference = small_pair()
    silent = reference.var_names.difference(spatial.var_names)[-1]
    counts = reference.X.tolil()
    counts[:, reference.var_names.get_loc(silent)] = 0
    reference.X = counts.tocsr()
    parts = {"first": reference[::2].copy(), "second": reference[1::2].copy()}
    for adata in (spatial, *parts.values()):
        StImputeModel.setup_anndata(adata)
    model = StImputeModel(spatial, parts)
    model.train(**QUIET)
    return model


@pytest.fixture(scope="module")
def predictor(model):
    return model.predictor()


@pytest.fixture(scope="module")
def targets(predictor):
    """Genes that were not measured, and two that were."""
    reference = predictor.ensemble.reference
    new = np.flatnonzero(reference.position_among_shared(np.arange(44)) < 0)
    return np.append(new, reference.shared[:2])


@pytest.fixture
def block():
    """Four genes by hand: one with a prediction that does not vary, and one that is expected to be 0."""
    rng = np.random.default_rng(3)
    mean = [0.5, 2.0, 1.0, 0.0]
    table = pd.DataFrame({"expected_mean": mean, "expected_std": [0.3, 1.0, 2.0, 0.5], "z_score_std": [0.5, 2, 0, 1]})
    weights = GeneWeights(*(torch.from_numpy(rng.normal(size=size)).float() for size in [(2, 4, 3), (5, 4)]))
    quantiles = np.stack([2 * GRID - 1, 4 * GRID - 2])
    missed = np.stack([0.5 * (1 - GRID), np.zeros(len(GRID))])
    intervals = Intervals(np.array([1.5]), quantiles, GRID**0.25, np.array([0.5, 1.0]), missed, 0.7)
    return CrossfitGeneBlock(table, weights, 0.6, intervals)


@pytest.fixture
def cells():
    rng = np.random.default_rng(4)
    attention, inputs = (torch.from_numpy(rng.normal(size=size)).float() for size in [(9, 5), (2, 9, 3)])
    return CellBlock(attention, inputs, rng.uniform(0.5, 1, 9))


def z_score_by_hand(block, cells):
    edges = zip(cells.inputs.numpy(), block.weights.edge_weights.numpy(), strict=True)
    return cells.attention.numpy() @ block.weights.profiles.numpy() + sum(values @ edge.T for values, edge in edges)


def test_values_are_the_mean_and_the_shrunken_or_matched_deviation(block, cells):
    z_score = z_score_by_hand(block, cells)
    mean, std, z_score_std = block.table.to_numpy().T
    shrunken = np.maximum(mean + std * 0.6 * z_score, 0)
    matched = np.maximum(mean + std * z_score / np.maximum(z_score_std, MIN_STD), 0)
    for variance, expected in {"shrunken": shrunken, "matched": matched}.items():
        found = block.predict(cells, OutputOptions(variance=variance))
        assert list(found) == ["X"]
        assert found["X"].dtype == np.float32
        np.testing.assert_allclose(found["X"], expected, rtol=1e-4, atol=1e-5)
    assert (shrunken == 0).any()
    assert (matched == 0).any()
    torch.testing.assert_close(add_parts(block.weights.parts(cells)).numpy(), z_score, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variance", ["shrunken", "matched"])
def test_bounds_are_those_of_the_shrunken_values(block, cells, variance):
    mean, std, z_score_std = block.table.to_numpy().T
    shrunken = block.predict(cells, OutputOptions())["X"]
    found = block.predict(cells, OutputOptions(interval=0.8, variance=variance))
    assert list(found) == ["X", "lower", "upper"]
    central = block.intervals.central(0.8, mean, 0.6 * std * np.maximum(z_score_std, MIN_STD))
    assert len(np.unique(central)) > 1
    bounds = block.intervals.bounds(shrunken, std, cells.molecule, central)
    np.testing.assert_allclose([found["lower"], found["upper"]], bounds, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["X"], block.predict(cells, OutputOptions(variance=variance))["X"])


def test_a_part_of_a_block_predicts_its_genes(block, cells):
    options = OutputOptions(interval=0.8)
    genes = np.array([3, 0])
    part = block.take(genes)
    assert part.table.index.tolist() == [0, 1]
    np.testing.assert_array_equal(part.table, block.table.iloc[genes])
    for name, values in part.predict(cells, options).items():
        np.testing.assert_allclose(values, block.predict(cells, options)[name][:, genes], rtol=1e-5, atol=1e-6)


def test_the_effective_number_of_equal_weights_is_their_number():
    cell = torch.tensor([[1.0, 0, 0, 0], [2, -2, 2, 0], [3, 1, 0, 0], [0, 0, 0, 0]])
    niche = torch.tensor([[0.0, 0, 0, 0], [1, 1, -1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    found = effective_number(torch.stack([cell, niche]))
    assert found.tolist() == [1, 3, round(4**2 / (3**2 + 1)), 0]
    assert found.dtype.kind == "i"
    assert effective_number(1e-3 * torch.stack([cell, niche])).tolist() == found.tolist()


def test_the_standard_deviation_is_that_of_all_cells():
    values = np.array([[1.0, 5], [3, 5]])
    np.testing.assert_allclose(log_std(torch.from_numpy(values)), np.log([1 + MIN_STD, MIN_STD]))


def test_the_features_of_the_reliability(predictor, targets, monkeypatch):
    """The strongest relations are found among many: NumPy sorts few as a whole."""
    ensemble = predictor.ensemble
    parts = ensemble.gene_weights(targets, None).parts(predictor._probe)
    similarity = np.random.default_rng(0).uniform(-0.9, 0.9, size=(len(targets), 600))
    monkeypatch.setattr(type(ensemble.features.coexpression), "similarity", lambda self, genes: similarity.copy())
    found = ensemble.reliability_features(targets, parts)
    attention, cell = (part.numpy().astype(float) for part in parts[:2])
    z_score = sum(part.numpy().astype(float) for part in parts)
    for column, part in enumerate([z_score, attention, cell]):
        np.testing.assert_allclose(found[:, column], np.log(part.std(0) + MIN_STD), rtol=1e-3, atol=1e-4)
    agreement = pd.DataFrame(attention).corrwith(pd.DataFrame(cell)).fillna(0)  # 0 for a gene that does not vary
    np.testing.assert_allclose(found[:, 3], agreement, atol=1e-4)
    position = ensemble.reference.position_among_shared(targets)
    for row, own in enumerate(position):
        others = np.abs(similarity[row])[np.arange(600) != own]
        np.testing.assert_allclose(found[row, 4], np.sort(others)[-N_STRONGEST:].mean(), rtol=1e-5)


def test_levels_depend_on_the_reference_as_the_section_resembles_it(predictor, targets):
    ensemble = predictor.ensemble
    found = ensemble.level_statistics(targets, predictor._probe)
    attention = predictor._probe.attention.mean(0).numpy().astype(float)
    matched = ensemble.features.metacells.weighted_statistics(targets, attention)
    np.testing.assert_allclose(found[:, [MATCHED_MEAN, MATCHED_STD]], matched[:, :2], rtol=1e-5)
    np.testing.assert_allclose(found[:, 0], ensemble.reference.expression.mean[targets])


def test_new_genes_are_described_by_their_prediction_in_the_probe_cells(model, predictor, targets):
    """All cells of a small section are probe cells."""
    ensemble = predictor.ensemble
    calibration = model.fit.calibration
    cells = model.data.read_cells(None)
    probe = predictor.cell_encoder(None).encode(cells.chunk(np.arange(len(cells)), cells.neighbors(10)))
    block = predictor.gene_block(targets, None)
    weights = ensemble.gene_weights(targets, None)
    torch.testing.assert_close(block.weights.edge_weights, weights.edge_weights)

    features = ensemble.reliability_features(targets, weights.parts(probe))
    z_score_std = weights.z_score(probe).std(0) + MIN_STD
    mean, std = calibration.moments.predict(ensemble.level_statistics(targets, probe))
    counts = model.reference.X[:, targets]
    n_expressing = (counts > 0).sum(0).A1
    reliability = calibration.reliability.predict(features, calibration.slope * z_score_std, n_expressing)
    expected = {
        "reliability": np.where(n_expressing > 0, reliability, 0),
        "n_edges": effective_number(weights.edge_weights),
        "expected_mean": mean,
        "expected_std": std,
        "z_score_std": z_score_std,
    }
    assert list(block.table) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(block.table[name], values, rtol=2e-3, atol=1e-4, err_msg=name)
    assert (block.slope, block.intervals) == (calibration.slope, calibration.intervals)
    assert predictor.highest_interval == calibration.intervals.highest


def test_a_gene_that_does_not_vary_in_the_reference_is_not_reliable(model, predictor, targets):
    never = targets[model.reference.X[:, targets].sum(0).A1 == 0]
    assert len(never) == 1
    assert predictor.gene_block(never, None).table["reliability"].tolist() == [0]


def test_a_gene_that_all_reference_cells_express_alike_is_not_reliable():
    spatial, reference = small_pair()
    constant = reference.var_names.difference(spatial.var_names)[0]
    values = np.log1p(reference.X.toarray())
    values[:, reference.var_names.get_loc(constant)] = 1
    reference.X = values
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference, expression="normalized")
    table = fit(spatial, reference, "crossfit", {"max_epochs": 1}).gene_reliability()
    assert table["reliability"][constant] == 0
    assert (table["reliability"].drop(constant) != 0).all()


def test_reference_cells_are_predicted_by_attention_alone(predictor, targets):
    for genes, fold in ((targets, None), (targets[-2:], 1)):
        block = predictor.gene_block(genes, fold)
        found = predictor.reference_block(genes, fold)
        assert block.weights.edge_weights.any()
        torch.testing.assert_close(found.weights.edge_weights, torch.zeros_like(block.weights.edge_weights))
        torch.testing.assert_close(found.weights.profiles, block.weights.profiles)
        pd.testing.assert_frame_equal(found.table, block.table)


def test_reference_cells_are_predicted_by_edges_if_there_is_no_attention():
    predictor = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, use_attention=False).predictor()
    assert predictor.reference_block(np.arange(3), None).weights.edge_weights.any()


def test_without_positions_no_spatial_neighbors_are_asked_for(predictor):
    assert predictor.n_spatial_neighbors == 10
    predictor = fit(*set_up(*small_pair(), spatial_key=None), "crossfit", {"max_epochs": 1}).predictor()
    assert predictor.n_spatial_neighbors is None
    assert np.isfinite(predictor.gene_block(np.arange(3), None).table).all(axis=None)


# ---------------------------------------------------------------- latent space


def mean_direction(model, standardized, which):
    """Embed standardized cells by all members, and average the directions."""
    values = torch.from_numpy(standardized.astype(np.float32))
    with torch.no_grad():
        z = getattr(model.module["autoencoder"], which)(values, torch.ones(values.shape[1])).mean(0).numpy()
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def log_normalized(counts):
    totals = counts.sum(1)
    return np.log1p(counts * (np.median(totals) / totals)[:, None])


def standardized(values):
    return (values - values.mean(0)) / values.std(0)


def test_reference_cells_are_standardized_within_their_dataset_before_they_are_embedded(model, predictor):
    first = (model.reference.obs["dataset"] == "first").to_numpy()
    shared = predictor.ensemble.reference.shared
    counts = model.reference.X.toarray()
    expression = np.empty((len(counts), len(shared)))
    expected = np.empty_like(predictor.embed_reference())
    for rows in (first, ~first):
        expression[rows] = log_normalized(counts[rows])[:, shared]
        expected[rows] = mean_direction(model, standardized(expression[rows]), "embed_reference")
    np.testing.assert_allclose(predictor.embed_reference(), expected, atol=1e-4)
    part = slice(0, 7)
    given = predictor.embed_reference(expression[part], (~first)[part].astype(int))
    np.testing.assert_allclose(given, expected[part], atol=1e-4)
    only_first = predictor.embed_reference(expression[first])
    np.testing.assert_allclose(only_first, expected[first], atol=1e-4)


def test_cells_are_embedded_in_blocks_and_compared_by_direction(model, predictor, monkeypatch):
    monkeypatch.setattr(_crossfit_predictor, "CELLS_PER_BLOCK", 40)
    cells = model.data.read_cells(None)
    counts = model.adata.X.toarray()
    shared = model.adata.var_names.get_indexer(list(model.shared_genes))
    expected = mean_direction(model, standardized(log_normalized(counts)[:, shared]), "embed_cells")
    np.testing.assert_allclose(predictor.embed_spatial(cells), expected, atol=1e-4)

    cosine = expected @ predictor.embed_reference().T
    for k, n_expected in ((None, 50), (3, 3)):
        index, found = predictor.nearest_reference_cells(cells, k)
        assert index.shape == found.shape == (len(cells), n_expected)
        np.testing.assert_allclose(found, -np.sort(-cosine, axis=1)[:, :n_expected], atol=1e-4)


def test_intervals_are_fitted_to_what_is_predicted_of_genes_that_are_held_out(monkeypatch):
    seen = []

    def fit_intervals(expression, predicted, *others):
        seen.append((expression, predicted))
        return Intervals.fit(expression, predicted, *others)

    monkeypatch.setattr(_crossfit_calibration, "Intervals", SimpleNamespace(fit=fit_intervals))
    model = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 2})
    ((expression, predicted),) = seen
    imputed = model.impute(genes=list(model.shared_genes), progress=False)
    assert predicted.shape == expression.shape == imputed.shape
    np.testing.assert_allclose(predicted, imputed.X, atol=1e-4)


def test_probe_cells_without_counts_are_average_cells_as_when_they_are_imputed():
    spatial, reference = small_pair()
    counts = spatial.X.tolil()
    counts[::10] = 0
    spatial.X = counts.tocsr()
    with pytest.warns(UserWarning, match="15 of 150 spatial cells"):
        model = fit(*set_up(spatial, reference), "crossfit", {"max_epochs": 1}, n_metacells=40)
    predictor = model.predictor()
    cells = model.data.read_cells(None)
    encoded = predictor.cell_encoder(None).encode(cells.chunk(np.arange(len(cells)), cells.neighbors(10)))
    torch.testing.assert_close(predictor._probe.inputs, encoded.inputs)
    assert not predictor._probe.inputs[0, ::10].any()
