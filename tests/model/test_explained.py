"""How well the reference explains the cells of a section."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lazy import in_form
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize
from small import N_CELLS, bare, fit, set_up

from stimpute import StImputeModel
from stimpute.datasets import synthetic_tissue
from stimpute.model._explained import explain


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def groups(rng, n_cells=300, n_genes=40):
    """Measured values of three groups of cells with noise, their true means, and unit vectors of the cells."""
    group = np.arange(n_cells) % 3
    mean = rng.normal(size=(3, n_genes))[group]
    return group, mean + rng.normal(size=mean.shape), mean, normalize(mean - mean.mean(0))


def test_true_means_explain_everything_and_noise_nothing(rng):
    group, measured, mean, points = groups(rng)
    assert explain(measured, mean, points).mean() == pytest.approx(1, abs=0.1)
    noise = rng.normal(size=mean.shape)
    assert explain(measured, noise, points).max() < 0.3
    assert explain(measured, noise, points).mean() == pytest.approx(0, abs=0.15)


def test_the_group_that_is_predicted_as_another_is_not_explained(rng):
    group, measured, mean, points = groups(rng)
    wrong = mean.copy()
    wrong[group == 2] = mean[group == 0][0]
    explained = explain(measured, wrong, points)
    assert explained[group == 2].max() < 0.1 < explained[group != 2].min()


@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(0.1, 10))
def test_units_of_the_prediction_and_levels_of_genes_do_not_matter(scale, shift, unit):
    _, measured, mean, points = groups(np.random.default_rng(0))
    expected = explain(measured, mean, points)
    np.testing.assert_allclose(explain(measured * unit + shift, mean * scale - shift, points), expected, atol=1e-6)


def test_one_value_for_each_cell(model, pair):
    explained = model.get_explained()
    assert explained.name == "explained"
    assert list(explained.index) == list(pair[0].obs_names)
    assert np.isfinite(explained).all()
    assert explained.max() < 1.2


def test_cells_keep_their_values_in_any_form_and_order(model, pair, tmp_path):
    expected = model.get_explained()
    stored = model.get_explained(in_form(model.adata, "backed CSR", tmp_path))
    np.testing.assert_allclose(stored, expected, atol=1e-4)
    backwards = model.get_explained(bare(pair[0][::-1]))
    np.testing.assert_allclose(backwards[expected.index], expected, atol=1e-3)


def test_a_large_section_is_sampled(model, monkeypatch):
    expected = model.get_explained()
    monkeypatch.setattr("stimpute.model._explained.N_SAMPLED", N_CELLS // 2)
    sampled = model.get_explained()
    assert len(sampled) == N_CELLS
    assert np.corrcoef(sampled, expected)[0, 1] > 0.3


def test_a_small_section_has_no_values(model, pair):
    assert model.get_explained(bare(pair[0][:49])).isna().all()


def test_cells_without_counts_and_equal_cells_have_no_values(model, pair):
    some = bare(pair[0])
    some.X[:5] = 0
    some.X.eliminate_zeros()
    explained = model.get_explained(some)
    assert explained.iloc[:5].isna().all()
    assert explained.iloc[5:].notna().all()
    equal = bare(pair[0][[0] * 60])
    equal.obs_names_make_unique()
    assert model.get_explained(equal).isna().all()


def test_nothing_is_changed(model, pair):
    before = pair[0].copy()
    state = torch.random.get_rng_state()
    model.get_explained()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (pair[0].X != before.X).nnz == 0
    assert pair[0].obs.equals(before.obs)


def test_without_attention_the_gene_graph_explains(pair):
    model = fit(*pair, "crossfit", use_attention=False)
    assert model.get_explained().std() > 0.01


@pytest.mark.slow
def test_a_type_that_the_reference_lacks_is_found_and_warned_of():
    tissue = synthetic_tissue(n_cells=1000, n_reference=1500, seed=3)
    kept = tissue.reference[tissue.reference.obs["cell_type"] != "type 1"].copy()
    missing = (tissue.spatial.obs["cell_type"] == "type 1").to_numpy()
    model = StImputeModel(*set_up(tissue.spatial, kept))
    model.train(enable_progress_bar=False)
    with pytest.warns(UserWarning, match="does not explain"):
        explained = model.get_explained()
    assert roc_auc_score(missing, -explained) > 0.9
    assert (explained[~missing] > 0).mean() > 0.95
