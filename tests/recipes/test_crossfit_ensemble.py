"""How `crossfit` encodes cells and computes the weights of genes, against NumPy and the networks themselves."""

import numpy as np
import pytest
import torch
from small import QUIET, fit, set_up, small_pair

from stimpute import StImputeModel
from stimpute.module._gene_graph import whiten
from stimpute.recipes import _crossfit_ensemble

FOLDS = [None, 1]


@pytest.fixture(scope="module")
def model():
    """A model of two references, each of which lacks genes that the other one has."""
    spatial, reference = small_pair()
    unmeasured = reference.var_names.difference(spatial.var_names)
    first = reference[::2, ~reference.var_names.isin(unmeasured[:5])].copy()
    second = reference[1::2, ~reference.var_names.isin(unmeasured[-5:])].copy()
    for adata in (spatial, first, second):
        StImputeModel.setup_anndata(adata)
    model = StImputeModel(spatial, {"first": first, "second": second}, n_folds=3)
    model.train(**QUIET)
    return model


@pytest.fixture(scope="module")
def ensemble(model):
    return model.predictor().ensemble


@pytest.fixture(scope="module")
def targets(ensemble):
    """Shared and other genes in any order."""
    return np.random.default_rng(0).permutation(ensemble.reference.expression.n_genes)


@pytest.mark.parametrize("fold", FOLDS)
def test_cells_are_scaled_by_their_totals_without_the_genes_of_the_fold(model, ensemble, fold):
    cells = model.data.read_cells(None)
    neighbors = cells.neighbors(10)
    rows = np.arange(5, 25)
    found = ensemble.cell_encoder(fold).encode(cells.chunk(rows, neighbors))

    counts = model.adata[:, list(model.shared_genes)].X.toarray()
    totals = model.adata.X.toarray().sum(1)
    known = np.log1p(counts * (np.median(totals) / totals)[:, None])
    if fold is not None:
        totals = totals - counts[:, ensemble.preparation.folds.fold_of_gene == fold].sum(1)
    molecule = np.log1p(np.median(totals) / totals)
    expression = np.log1p(counts * (np.median(totals) / totals)[:, None])
    cell, niche = ((values - known.mean(0)) / known.std(0) for values in (expression, expression[neighbors].mean(1)))
    np.testing.assert_allclose(found.inputs, np.stack([cell[rows], niche[rows]]), atol=1e-4)
    np.testing.assert_allclose(found.molecule, molecule[rows], rtol=1e-5)


@pytest.mark.parametrize("fold", FOLDS)
def test_attention_is_paid_by_the_cell_itself_and_depends_on_the_reference(model, ensemble, fold):
    cells = model.data.read_cells(None)
    encoder = ensemble.cell_encoder(fold)
    found = encoder.encode(cells.chunk(np.arange(20), cells.neighbors(10)))
    autoencoder = model.module["autoencoder"]
    metacells = ensemble.features.metacells
    mask = torch.from_numpy(encoder.split.mask())
    with torch.no_grad():
        z = autoencoder.embed_cells(found.inputs[0], mask)
        keys = autoencoder.embed_reference(torch.from_numpy(metacells.shared_profiles), mask)
        by_member = autoencoder.attention(z, keys, dataset=torch.from_numpy(metacells.dataset))
    expected = by_member.mean(0) if fold is None else by_member[fold]
    assert len(np.unique(metacells.dataset)) == 2
    np.testing.assert_allclose(found.attention, expected, atol=1e-6)


@pytest.mark.parametrize("fold", FOLDS)
def test_edge_weights_are_those_of_the_member_or_the_mean_of_all(model, ensemble, targets, fold):
    features = ensemble.features
    relations = features.relation_features(targets, fold)
    statistics = [features.statistics(genes) for genes in (targets, ensemble.reference.shared)]
    position = torch.from_numpy(ensemble.reference.position_among_shared(targets))
    with torch.no_grad():
        by_member = model.module["graph"](relations, *statistics)
    expected = whiten(by_member.mean(0) if fold is None else by_member[fold], features.precision, position)
    found = ensemble.gene_weights(targets, fold)
    torch.testing.assert_close(found.edge_weights, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.profiles, features.metacells.profiles(targets))


def test_genes_in_blocks_have_the_weights_of_all_at_once(ensemble, targets, monkeypatch):
    expected = ensemble.gene_weights(targets, None)
    monkeypatch.setattr(_crossfit_ensemble, "MIN_BLOCK", 7)
    monkeypatch.setattr(_crossfit_ensemble, "PAIRS_PER_BLOCK", 1)
    found = ensemble.gene_weights(targets, None)
    torch.testing.assert_close(found.edge_weights, expected.edge_weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("use_space", [True, False])
def test_without_relations_no_gene_has_a_weight(use_space):
    model = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, relations=[], use_space=use_space)
    weights = model.predictor().ensemble.gene_weights(np.arange(9), None)
    expected = torch.zeros(2 if use_space else 1, 9, len(model.shared_genes))
    torch.testing.assert_close(weights.edge_weights, expected)


def test_without_attention_none_is_paid():
    model = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, use_attention=False)
    cells = model.data.read_cells(None)
    encoded = model.predictor().cell_encoder(None).encode(cells.chunk(np.arange(5), cells.neighbors(10)))
    assert encoded.attention.shape[0] == 5
    assert not encoded.attention.any()
    assert encoded.inputs.any()
