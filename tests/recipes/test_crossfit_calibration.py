"""What `crossfit` learns from genes that were held out, from predictions that are made up and from real ones."""

from types import SimpleNamespace

import numpy as np
import pytest
from small import fit, set_up, small_pair

from stimpute.calibrate._intervals import Intervals
from stimpute.calibrate._moments import Moments
from stimpute.calibrate._reliability import ReliabilityRegression
from stimpute.data._folds import GeneFolds
from stimpute.recipes import _crossfit_calibration
from stimpute.recipes._crossfit_calibration import MAX_SLOPE, HeldOutPredictions, _predict_held_out, calibrate

N_CELLS, N_GENES = 60, 20


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.fixture
def scaling(rng):
    return SimpleNamespace(mean=rng.uniform(0.5, 2, N_GENES), std=rng.uniform(0.5, 1, N_GENES))


@pytest.fixture
def truth(rng):
    return rng.normal(size=(N_CELLS, N_GENES))


def calibrate_on(monkeypatch, scaling, truth, z_score):
    """Calibrate on predictions that are made up; return them, the number of expressing cells, and the calibration."""
    rng = np.random.default_rng(2)
    held_out = HeldOutPredictions(
        z_score=z_score,
        expression=scaling.mean + scaling.std * truth,
        molecule=rng.uniform(0.5, 1, truth.shape),
        features=rng.normal(size=(N_GENES, 8)),
        level_statistics=rng.uniform(size=(N_GENES, 6)),
    )
    n_expressing = rng.integers(1, 50, N_GENES)
    shared = rng.permutation(N_GENES)
    reference = SimpleNamespace(shared=shared, n_cells_expressing=lambda genes: n_expressing[genes])
    preparation = SimpleNamespace(folds=GeneFolds.draw(N_GENES, 4), scaling=scaling)
    ensemble = SimpleNamespace(reference=reference, preparation=preparation)
    monkeypatch.setattr(_crossfit_calibration, "_predict_held_out", lambda *arguments: held_out)
    return held_out, n_expressing[shared], preparation.folds.fold_of_gene, calibrate(None, None, ensemble)


def test_the_slope_is_that_of_least_squares(monkeypatch, rng, scaling, truth):
    z_score = 0.6 * truth + rng.normal(size=truth.shape)
    *_, calibration = calibrate_on(monkeypatch, scaling, truth, z_score)
    expected = np.linalg.lstsq(z_score.reshape(-1, 1), truth.ravel())[0].item()
    assert 0.2 < expected < 0.8
    assert calibration.slope == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("factor", "slope"), [(2.0, 0.5), (0.4, MAX_SLOPE), (5e-4, MAX_SLOPE), (-1.0, 0), (0.0, 0)])
def test_the_slope_neither_reverses_a_prediction_nor_amplifies_noise(monkeypatch, scaling, truth, factor, slope):
    *_, calibration = calibrate_on(monkeypatch, scaling, truth, factor * truth)
    assert calibration.slope == pytest.approx(slope, abs=1e-5)


def test_levels_intervals_and_reliability_are_fitted_to_held_out_genes(monkeypatch, rng, scaling, truth):
    z_score = 0.6 * truth + rng.normal(size=truth.shape)
    held_out, n_expressing, fold, found = calibrate_on(monkeypatch, scaling, truth, z_score)
    levels = held_out.level_statistics
    moments = Moments.fit(levels, scaling.mean, scaling.std)
    np.testing.assert_array_equal(found.moments.coefficients, moments.coefficients)
    mean, std = Moments.out_of_fold(levels, scaling.mean, scaling.std, fold)
    np.testing.assert_array_equal(found.out_of_fold.mean, mean)
    np.testing.assert_array_equal(found.out_of_fold.std, std)
    np.testing.assert_allclose(np.log(found.out_of_fold.z_score_std), held_out.features[:, 0])

    predicted = np.clip(mean + std * found.slope * z_score, 0, None)
    intervals = Intervals.fit(held_out.expression, predicted, std, held_out.molecule, fold)
    assert (predicted == 0).any()
    np.testing.assert_allclose(found.intervals.quantiles, intervals.quantiles)
    np.testing.assert_allclose(found.intervals.probability, intervals.probability)

    observed = [np.corrcoef(truth[:, gene], z_score[:, gene])[0, 1] for gene in range(N_GENES)]
    predicted_std = found.slope * z_score.std(0)
    arguments = (held_out.features, np.array(observed), predicted_std)
    reliability = ReliabilityRegression.fit(*arguments)
    np.testing.assert_allclose(found.reliability.coefficients, reliability.coefficients, rtol=1e-4)
    of_others = ReliabilityRegression.out_of_fold(*arguments, n_expressing, fold)
    np.testing.assert_allclose(found.out_of_fold.reliability, of_others, rtol=1e-4)


@pytest.fixture(scope="module", params=[{}, {"max_exact_genes": 10, "n_components": 12}], ids=["few", "many"])
def model(request):
    """Models of a panel of few genes, and of one that is treated as one of many."""
    return fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, n_folds=3, **request.param)


def test_a_gene_is_predicted_by_the_member_of_its_fold_from_the_other_genes(model, monkeypatch):
    monkeypatch.setattr(_crossfit_calibration, "N_PROBE", 40)
    monkeypatch.setattr(_crossfit_calibration, "N_CALIBRATION", 90)
    ensemble = model.predictor().ensemble
    cells = model.data.read_cells(None)
    neighbors = cells.neighbors(10)
    found = _predict_held_out(cells, neighbors, ensemble)

    probe_rows = np.linspace(0, len(cells) - 1, 40).round().astype(int)
    many = ensemble.reference.n_components is not None
    rows = probe_rows if many else np.linspace(0, len(cells) - 1, 90).round().astype(int)
    counts = model.adata[:, list(model.shared_genes)].X.toarray()
    totals = model.adata.X.toarray().sum(1)
    fold_of_gene = ensemble.preparation.folds.fold_of_gene
    for fold in range(3):
        held_out = np.flatnonzero(fold_of_gene == fold)
        genes = ensemble.reference.shared[held_out]
        encoder = ensemble.cell_encoder(fold)
        weights = ensemble.gene_weights(genes, fold)
        z_score = weights.z_score(encoder.encode(cells.chunk(rows, neighbors)))
        np.testing.assert_allclose(found.z_score[:, held_out], z_score, atol=1e-4)

        input_totals = (totals - counts[:, held_out].sum(1))[:, None]
        scaled = counts[:, held_out] * (np.median(input_totals) / input_totals)
        np.testing.assert_allclose(found.expression[:, held_out], np.log1p(scaled)[rows], rtol=1e-4)
        molecule = np.log1p(np.median(input_totals) / input_totals)[rows]
        np.testing.assert_allclose(found.molecule[:, held_out], np.repeat(molecule, len(held_out), 1), rtol=1e-4)

        probe = encoder.encode(cells.chunk(probe_rows, neighbors))
        features = ensemble.reliability_features(genes, weights.parts(probe))
        np.testing.assert_allclose(found.features[held_out], features, rtol=1e-4, atol=1e-5)
        levels = ensemble.level_statistics(genes, probe)
        np.testing.assert_allclose(found.level_statistics[held_out], levels, rtol=1e-5)
    assert found.z_score.dtype == found.expression.dtype == found.molecule.dtype == np.float32
