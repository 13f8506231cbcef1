"""`crossfit` as a whole: better than the baselines on genes it never saw, and blind to what it must not see."""

import numpy as np
import pytest
import torch

from stimpute import StImputeModel, datasets, pp, tl
from stimpute.data._hiding import Hiding
from stimpute.module._hidden_genes import HiddenGeneModule
from stimpute.recipes._crossfit_batches import HiddenGeneBatches

QUIET = {"enable_progress_bar": False}


@pytest.fixture(scope="module")
def tissue():
    tissue = datasets.synthetic_tissue(n_cells=600, n_reference=800, n_measured=40, n_unmeasured=40, seed=3)
    pp.protein_graph(tissue.reference, tissue.proteins)
    return tissue


@pytest.fixture(scope="module")
def model(tissue):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    model.train(**QUIET)
    return model


def test_it_beats_every_baseline_on_unseen_genes(tissue):
    result = tl.cross_validate(tissue.spatial, tissue.reference, progress=False, interval=0.9)
    summary = result.summary
    assert summary["pcc"].idxmax() == "stimpute"
    assert summary["mse"].idxmin() == "stimpute"
    truth, inside = result.predicted.X, result.predicted.layers
    coverage = ((truth >= inside["lower"]) & (truth <= inside["upper"])).mean()
    assert 0.85 < coverage < 0.96


def test_unmeasured_genes_follow_the_truth(model, tissue):
    genes = list(tissue.truth.var_names[~tissue.truth.var["measured"]])
    imputed = model.impute(genes=genes, progress=False)
    scores = tl.score(tissue.truth, imputed, metrics=["pcc"])
    assert scores["value"].mean() > 0.4


def test_matched_spread_varies_more_than_least_squares(model):
    genes = list(model._need_reference().bank.genes[-5:])
    expected = model.impute(genes=genes, progress=False).X
    matched = model.impute(genes=genes, spread="matched", progress=False).X
    assert (matched.std(0) > expected.std(0)).all()


def test_reliability_of_noise_is_low(tissue):
    """A reference gene that is noise, unrelated to the panel, must not be trusted."""
    reference = tissue.reference.copy()
    gene = reference.var_names[~reference.var_names.isin(tissue.spatial.var_names)][0]
    dense = reference.X.toarray()
    column = reference.var_names.get_loc(gene)
    dense[:, column] = np.random.default_rng(0).permutation(dense[:, column])
    reference.X = dense
    spatial = tissue.spatial.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference)
    model.train(**QUIET)
    reliability = model.impute(progress=False).var["reliability"]
    assert reliability[gene] < reliability.median()


def test_training_batches_leave_no_trace_of_hidden_genes(model, tissue):
    """Neither the input, nor the totals, nor the cells around change with the values of hidden genes."""
    cells = model._cells(None)
    make = lambda cells: HiddenGeneBatches(cells, model.state_, 5, (0.3, 0.3), seed=0)
    rows = {"rows": torch.arange(20)}
    first = make(cells)(rows)
    hidden = np.flatnonzero(first["mask"].numpy() == 0)
    changed = make(cells)
    changed.values[:, hidden] *= 7
    changed.total += 6 * make(cells).values[:, hidden].sum(1)
    second = changed(rows)
    visible = first["mask"] == 1
    torch.testing.assert_close(first["X"][:, visible], second["X"][:, visible])
    torch.testing.assert_close(first["around"][:, visible], second["around"][:, visible])
    assert not torch.allclose(first["truth"], second["truth"])


def test_normalised_totals_leave_out_hidden_genes(model):
    cells = model._cells(None)
    hiding = Hiding(np.arange(5, cells.panel.shape[1]), np.arange(5))
    total = np.asarray(cells.panel[:, 5:].sum(1)).ravel()
    np.testing.assert_allclose(cells.visible_total(hiding), total)


def test_without_attention_or_relations_nothing_is_left(tissue):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    with pytest.raises(ValueError, match="nothing to predict from"):
        StImputeModel(spatial, reference, relations=[], attention=False)


@pytest.mark.parametrize(
    "options", [{"relations": []}, {"attention": False}, {"space": False}, {"relations": ["protein"]}]
)
def test_parts_can_be_left_out(tissue, options):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, **options)
    model.train(max_epochs=2, **QUIET)
    imputed = model.impute(genes=list(reference.var_names[-3:]), interval=0.8, progress=False)
    assert np.isfinite(imputed.X).all()
    assert (imputed.layers["lower"] <= imputed.layers["upper"]).all()


@pytest.mark.parametrize("placed", [True, False])
def test_what_is_trained_is_what_predicts(tissue, placed):
    """The training module and the predictor give the same signal, with positions and without."""
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    if not placed:
        del spatial.obsm["spatial"]
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, n_hidings=2)
    model.train(max_epochs=5, **QUIET)

    cells, panel = model._cells(None), model._need_reference().panel
    predictor = model._predictor(0)
    hidden = torch.from_numpy(predictor.hiding.hidden)
    channels = torch.from_numpy(np.stack(predictor.channels(cells, np.arange(30))))
    assert len(channels) == (2 if placed else 1)
    module = HiddenGeneModule(
        model.module["autoencoder"],
        model.module["graph"],
        predictor.genes.relations(panel),
        predictor.genes.statistics(panel),
        predictor.genes.precision,
        torch.ones(2, len(panel), dtype=torch.bool),
    )
    module.autoencoder.profiles = torch.from_numpy(predictor.genes.reference_panel.profiles)
    mask = torch.ones(len(panel))
    mask[hidden] = 0
    with torch.no_grad():
        z = module.inference(channels[0], mask)["z"]
        trained = module.generative(z, mask, channels, hidden)["signal"][0].T
    predicted = predictor.signal(predictor.embed(cells, np.arange(30)), panel[predictor.hiding.hidden])
    np.testing.assert_allclose(predicted, trained, atol=1e-4)
