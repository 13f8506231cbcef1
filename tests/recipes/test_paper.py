"""The paper's recipe: its equations, what it may read, and its reliability."""

import dataclasses

import numpy as np
import pytest
import torch
from small import N_MEASURED, bare, fit, set_up, small_pair, values

from stimpute import StImputeModel
from stimpute.recipes import PaperRecipe
from stimpute.recipes._paper_reliability import profile_quantiles
from stimpute.recipes._paper_scale import reference_factor, rescale
from stimpute.recipes._paper_view import PaperView


@pytest.fixture(scope="module")
def trained():
    spatial, reference = set_up(*small_pair())
    return fit(spatial, reference, "paper", n_neighbors=10), spatial, reference


def view_of(model, fold=None):
    """Cells and genes as the networks see them."""
    return model.predictor()._view_of(fold)


def with_alpha(model, alpha, *args, **kwargs):
    """Impute as if the graph network had another share in the output."""
    preparation = dataclasses.replace(model.fit.preparation, alpha=alpha)
    fitted = dataclasses.replace(model.fit, preparation=preparation)
    before = model._fit, model._cached_predictor
    model._fit, model._cached_predictor = fitted, None
    try:
        return model.impute(*args, **kwargs, progress=False)
    finally:
        model._fit, model._cached_predictor = before


def cosines(rows):
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


# ---------------------------------------------------------------- the equations


def test_defaults_are_the_papers():
    recipe = PaperRecipe()
    assert (recipe.n_latent, recipe.n_neighbors, recipe.n_hidden, recipe.n_layers) == (100, 50, 50, 2)
    assert (recipe.n_rounds, recipe.autoencoder_epochs, recipe.lr, recipe.normalize_nodes) == (2, 30, 0.01, False)


def test_output_is_eq_12(trained):
    model, spatial, reference = trained
    gene = [reference.var_names.difference(spatial.var_names)[0]]
    by_alpha = {alpha: values(with_alpha(model, alpha, genes=gene)) for alpha in (0.0, 1.0, 0.7)}
    np.testing.assert_allclose(by_alpha[0.7], 0.7 * by_alpha[1.0] + 0.3 * by_alpha[0.0], rtol=1e-5)
    assert model.fit.preparation.alpha == 0.7  # for fewer than 10,000 cells
    np.testing.assert_array_equal(by_alpha[0.7], values(model.impute(genes=gene, progress=False)))
    expression = view_of(model).reference_expression(reference.var_names.get_indexer(gene))[0]
    neighbors = model.get_neighbors()[0]
    assert neighbors.shape[1] == 10
    np.testing.assert_allclose(by_alpha[0.0][:, 0], expression[neighbors].mean(1), rtol=1e-5)


def test_gene_graph_is_eq_4_to_6(trained):
    """Cosine of protein vectors, and of expression where either gene has no vector; no gene has an edge to itself."""
    model, _, reference = trained
    attached = model.data.need_reference().reference
    shared = attached.shared
    has_protein = reference.var["has_protein"].to_numpy()[shared]
    assert has_protein.any()
    assert not has_protein.all()
    proteins = cosines(np.asarray(reference.varm["protein"], dtype=float)[shared])
    expression = cosines(attached.expression.dense(shared).T.astype(float))
    expected = np.maximum(np.where(has_protein[:, None] & has_protein[None], proteins, expression), 1e-3)
    np.fill_diagonal(expected, 0)
    found = view_of(model).adjacency(shared)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-3)


@pytest.mark.slow
def test_more_cells_than_the_limit_use_the_papers_other_numbers(monkeypatch):
    from stimpute.recipes import _paper

    monkeypatch.setattr(_paper, "SMALL_DATA", 100)
    model = fit(*set_up(*small_pair()), "paper", {"max_epochs": None}, n_neighbors=5, autoencoder_epochs=1)
    assert model.fit.preparation.alpha == 0.5
    assert len(model.history["gene_graph_train_loss"]) == 2 * 32


# ---------------------------------------------------------------- what it may read


def test_a_held_out_gene_is_never_read(trained):
    model, spatial, _ = trained
    held_out = model.predictor().folds.split(0).held_out
    names = [model.shared_genes[i] for i in held_out]
    other = bare(spatial)
    columns = other.var_names.get_indexer(names)
    dense = other.X.toarray()
    dense[:, columns] = np.random.default_rng(0).permutation(dense[:, columns]) + 3
    other.X = type(other.X)(dense)
    before, after = (values(model.impute(x, genes=names, progress=False)) for x in (None, other))
    np.testing.assert_array_equal(before, after)


def test_no_edge_starts_at_a_held_out_gene(trained):
    model = trained[0]
    view = view_of(model, 2)
    shared = model.data.need_reference().reference.shared
    adjacency = view.adjacency(shared[view.split.held_out])
    assert adjacency.shape == (len(view.split.held_out), len(view.split.inputs))
    np.testing.assert_allclose(adjacency.sum(1), 1, rtol=1e-5)


def test_every_shared_gene_is_held_out_once(trained):
    fold_of_gene = trained[0].fit.preparation.folds.fold_of_gene
    assert len(fold_of_gene) == N_MEASURED
    assert set(fold_of_gene) == set(range(5))


def test_reliability_of_shared_genes_is_out_of_fold(trained, monkeypatch):
    """The network that scores the genes of a fold never saw their scores."""
    from stimpute.recipes import _paper_reliability
    from stimpute.train._trainer import PhaseTrainer

    _, spatial, reference = trained
    learned_from, scored = [], []
    run, score_profiles = PhaseTrainer.run, _paper_reliability.score_profiles

    def spy(self, name, module, data, *args, **kwargs):
        if name == "reliability":
            learned_from.append(data.tensors["X"].numpy())
        return run(self, name, module, data, *args, **kwargs)

    def spy_score(network, profiles):
        scored.append(profiles)
        return score_profiles(network, profiles)

    monkeypatch.setattr(PhaseTrainer, "run", spy)
    monkeypatch.setattr(_paper_reliability, "score_profiles", spy_score)
    fit(spatial, reference, "paper", n_neighbors=10)
    assert [len(x) for x in learned_from] == [N_MEASURED - len(x) for x in scored] + [N_MEASURED]
    for known, asked in zip(learned_from, scored, strict=False):
        assert not (known[:, None] == asked[None]).all(2).any()


# ---------------------------------------------------------------- predictions


def test_one_gene_equals_all_genes(trained):
    model = trained[0]
    everything = model.impute(progress=False)
    gene = everything.var_names[7]
    alone = values(model.impute(genes=gene, progress=False))
    np.testing.assert_allclose(alone, values(everything, [gene]), rtol=1e-5, atol=1e-6)
    assert everything.var["reliability"].between(0, 1).all()


def test_targets_are_predicted_in_parts_where_they_are_many(trained, monkeypatch):
    model = trained[0]
    expected = model.impute(progress=False)
    monkeypatch.setattr("stimpute.recipes._paper_view.CHUNK_ELEMENTS", 150 * 10 * 3)
    np.testing.assert_allclose(model.impute(progress=False).X, expected.X, rtol=1e-5, atol=1e-6)


def test_a_saved_model_imputes_the_same_bits(trained, tmp_path):
    model, spatial, reference = trained
    model.save(tmp_path / "model")
    again = StImputeModel.load(tmp_path / "model", adata=bare(spatial), reference=bare(reference), accelerator="cpu")
    np.testing.assert_array_equal(values(again.impute(progress=False)), values(model.impute(progress=False)))


def test_training_repeats_and_leaves_the_global_seed(trained):
    _, spatial, reference = trained
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b = (values(fit(spatial, reference, "paper", n_neighbors=10).impute(progress=False)) for _ in range(2))
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(a, b)


def test_intervals_are_refused(trained):
    with pytest.raises(ValueError, match="no intervals"):
        trained[0].impute(interval=0.9, progress=False)


def test_the_number_of_neighbors_is_the_hyperparameter(trained):
    assert trained[0].get_neighbors()[0].shape == (150, 10)
    assert StImputeModel(*trained[1:], recipe="paper").recipe.n_neighbors == 50


def test_fewer_reference_cells_than_neighbors():
    pair = set_up(*small_pair(proteins=False, n_reference=20))
    with pytest.raises(ValueError, match=r"20 cells, fewer than n_neighbors=50.*n_neighbors=20"):
        StImputeModel(*pair, recipe="paper")


def test_a_relation_is_needed(trained):
    with pytest.raises(ValueError, match="needs a gene relation"):
        StImputeModel(*trained[1:], recipe="paper", relations=[])


# ---------------------------------------------------------------- scale and scores


def test_the_factor_brings_the_reference_to_the_spatial_total():
    counts = np.random.default_rng(0).poisson(3, (200, 6)).astype(np.float32)
    assert reference_factor(np.log1p(counts), np.log1p(4 * counts)) == pytest.approx(0.25, rel=1e-4)
    np.testing.assert_allclose(rescale(np.log1p(4 * counts), 0.25), np.log1p(counts), rtol=1e-4, atol=1e-5)
    assert reference_factor(100 * counts, counts) == 1  # too large for logarithms: left alone


def test_zeros_stay_zero_when_the_reference_is_scaled():
    assert rescale(np.zeros(3, np.float32), 7.0).tolist() == [0, 0, 0]


def test_quantiles_do_not_depend_on_the_number_of_cells():
    x = np.random.default_rng(0).random((100_000, 3))
    np.testing.assert_allclose(profile_quantiles(x), profile_quantiles(x[::20]), atol=0.03)


def test_cells_that_all_have_the_same_neighbors_are_told(monkeypatch):
    pair = set_up(*small_pair())
    monkeypatch.setattr(PaperView, "nearest_reference_cells", lambda view, cells, k: same_neighbors(len(cells), k))
    with pytest.warns(UserWarning, match=r"about the same neighbors: 5 of 211 .*`retraining_epochs=0`"):
        fit(*pair, "paper", n_neighbors=5)


def same_neighbors(n_cells, k):
    return np.tile(np.arange(k), (n_cells, 1)), np.ones((n_cells, k), np.float32)


def test_the_autoencoder_need_not_be_trained_on_the_residual():
    pair = set_up(*small_pair())
    options = {"autoencoder_epochs": 3, "n_rounds": 2}
    lengths = {
        n: len(fit(*pair, "paper", retraining_epochs=n, **options).history["autoencoder_train_loss"]) for n in (0, 2)
    }
    assert lengths == {0: 2, 2: 2 + 2 * 2}  # `fit` trains for two epochs at most
