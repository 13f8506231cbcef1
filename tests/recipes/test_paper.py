"""The paper's recipe: what it may see, and what it says of itself."""

import numpy as np
import pytest
import torch
from small import N_MEASURED, bare, fit, set_up, small_pair, values

from stimpute import StImputeModel
from stimpute.recipes._paper_predictor import quantiles, rescale, scale_factor


@pytest.fixture(scope="module")
def trained():
    spatial, reference = set_up(*small_pair())
    return fit(spatial, reference, "paper", n_neighbors=10), spatial, reference


def test_defaults_are_the_papers():
    spatial, reference = set_up(*small_pair())
    recipe = StImputeModel(spatial, reference, recipe="paper")._recipe
    assert (recipe.n_latent, recipe.n_neighbors, recipe.n_hidden, recipe.n_layers) == (100, 50, 50, 2)
    assert (recipe.rounds, recipe.autoencoder_epochs, recipe.lr, recipe.normalize_nodes) == (2, 30, 0.01, False)


def test_output_is_eq_12(trained):
    model, spatial, reference = trained
    gene = [reference.var_names.difference(spatial.var_names)[0]]
    by_alpha = {}
    for alpha in (0.0, 1.0, 0.7):
        model.state_["alpha"] = np.array(alpha)
        by_alpha[alpha] = values(model.impute(genes=gene, progress=False))
    np.testing.assert_allclose(by_alpha[0.7], 0.7 * by_alpha[1.0] + 0.3 * by_alpha[0.0], rtol=1e-5)
    predictor = model._predictor(-1)
    expression = predictor.expression(reference.var_names.get_indexer(gene))[0]
    neighbours = model.get_neighbors()[0]
    np.testing.assert_allclose(by_alpha[0.0][:, 0], expression[neighbours].mean(1), rtol=1e-5)


def cosines(rows: np.ndarray) -> np.ndarray:
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def test_gene_graph_is_eq_4_to_6(trained):
    """Cosine of protein vectors, and of expression where either gene has no vector; a gene never hears itself."""
    model, _, reference = trained
    predictor, panel = model._predictor(-1), model._reference.panel
    known = reference.var["has_protein"].to_numpy()[panel]
    assert known.any()
    assert not known.all()
    proteins = cosines(np.asarray(reference.varm["protein"], dtype=float)[panel])
    expression = cosines(model._reference.bank.dense(panel).T.astype(float))
    expected = np.maximum(np.where(known[:, None] & known[None], proteins, expression), 1e-3)
    np.fill_diagonal(expected, 0)
    found = predictor.adjacency(panel)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), rtol=1e-3)


def test_a_hidden_gene_is_never_seen(trained):
    model, spatial, _ = trained
    hidden_in = model.state_["hidden_in"]
    hidden = np.flatnonzero(hidden_in == 0)
    names = [model.panel_[i] for i in hidden]
    other = bare(spatial)
    columns = other.var_names.get_indexer(names)
    dense = other.X.toarray()
    dense[:, columns] = np.random.default_rng(0).permutation(dense[:, columns]) + 3
    other.X = type(other.X)(dense)
    before, after = (values(model.impute(x, genes=names, progress=False)) for x in (None, other))
    np.testing.assert_array_equal(before, after)


def test_every_measured_gene_is_hidden_once(trained):
    hidden_in = trained[0].state_["hidden_in"]
    assert len(hidden_in) == N_MEASURED
    assert set(hidden_in) == set(range(5))


def test_reliability_of_measured_genes_is_out_of_fold(trained, monkeypatch):
    """Each fold's network never saw the scores of the genes that it judges."""
    import stimpute.recipes._paper as paper
    from stimpute.train._phases import Phases

    _, spatial, reference = trained
    seen, judged = [], []
    run, judge = Phases.run, paper.score_profiles

    def spy(self, name, module, data, *args, **kwargs):
        if name == "reliability":
            seen.append(data.tensors["X"].numpy())
        return run(self, name, module, data, *args, **kwargs)

    def spy_judge(network, profiles):
        judged.append(profiles)
        return judge(network, profiles)

    monkeypatch.setattr(Phases, "run", spy)
    monkeypatch.setattr(paper, "score_profiles", spy_judge)
    fit(spatial, reference, "paper", n_neighbors=10)
    assert [len(x) for x in seen] == [N_MEASURED - len(x) for x in judged] + [N_MEASURED]
    for learnt, asked in zip(seen, judged, strict=False):
        assert not (learnt[:, None] == asked[None]).all(2).any()


def test_one_gene_equals_all_genes(trained):
    model = trained[0]
    everything = model.impute(progress=False)
    gene = everything.var_names[7]
    alone = values(model.impute(genes=gene, progress=False))
    np.testing.assert_allclose(alone, values(everything, [gene]), rtol=1e-5, atol=1e-6)
    assert everything.var["reliability"].between(0, 1).all()


def test_saved_model_imputes_the_same_bits(trained, tmp_path):
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


def test_scale_brings_the_reference_to_the_spatial_total():
    counts = np.random.default_rng(0).poisson(3, (200, 6)).astype(np.float32)
    assert scale_factor(np.log1p(counts), np.log1p(4 * counts)) == pytest.approx(0.25, rel=1e-4)
    np.testing.assert_allclose(rescale(np.log1p(4 * counts), 0.25), np.log1p(counts), rtol=1e-4, atol=1e-5)
    assert scale_factor(100 * counts, counts) == 1  # never logarithms: left alone


def test_quantiles_do_not_depend_on_the_number_of_cells():
    x = np.random.default_rng(0).random((100_000, 3))
    np.testing.assert_allclose(quantiles(x), quantiles(x[::20]), atol=0.03)


def test_intervals_are_refused(trained):
    with pytest.raises(ValueError, match="no intervals"):
        trained[0].impute(interval=0.9, progress=False)
