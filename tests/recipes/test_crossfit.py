"""`crossfit` as a whole: better than the baselines on unseen genes, and nothing leaks from held-out genes."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from small import fit, set_up, small_pair

from stimpute import StImputeModel, datasets, pp, tl
from stimpute.data._folds import GeneSplit
from stimpute.module._masked_genes import NICHE_KEY, TRUTH_KEY, MaskedGeneModule
from stimpute.recipes import OutputOptions
from stimpute.recipes._crossfit_batches import MAX_TARGETS, MIN_MASKED, MIN_TARGETS, MaskedGeneBatches, n_targets

QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}


@pytest.fixture(scope="module")
def tissue():
    tissue = datasets.synthetic_tissue(n_cells=600, n_reference=800, n_measured=40, n_unmeasured=40, seed=3)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    return tissue


@pytest.fixture(scope="module")
def model(tissue):
    model = StImputeModel(*set_up(tissue.spatial.copy(), tissue.reference.copy()))
    model.train(**QUIET)
    return model


# ---------------------------------------------------------------- how good it is


@pytest.mark.slow
def test_it_beats_every_baseline_on_unseen_genes(tissue):
    result = tl.cross_validate(tissue.spatial, tissue.reference, progress=False, interval=0.9, train_kwargs=QUIET)
    summary = result.summary
    assert summary["pcc"].idxmax() == tl.MODEL_NAME
    assert summary["mse"].idxmin() == tl.MODEL_NAME
    truth, bounds = result.predicted.X, result.predicted.layers
    coverage = ((truth >= bounds["lower"]) & (truth <= bounds["upper"])).mean()
    assert 0.85 < coverage < 0.96


@pytest.mark.slow
def test_unmeasured_genes_follow_the_truth(model, tissue):
    genes = list(tissue.truth.var_names[~tissue.truth.var["measured"]])
    imputed = model.impute(genes=genes, progress=False)
    scores = tl.score(tissue.truth, imputed, metrics=["pcc"])
    assert scores["value"].mean() > 0.4


def test_matched_variance_is_larger_than_the_shrunken_one(model):
    genes = list(model.reference_genes[-5:])
    shrunken = model.impute(genes=genes, progress=False).X
    matched = model.impute(genes=genes, variance="matched", progress=False).X
    assert (matched.std(0) > shrunken.std(0)).all()


@pytest.mark.slow
def test_reliability_of_noise_is_low(tissue):
    """A reference gene that is noise, unrelated to the shared genes, must not be trusted."""
    reference = tissue.reference.copy()
    gene = reference.var_names[~reference.var_names.isin(tissue.spatial.var_names)][0]
    dense = reference.X.toarray()
    column = reference.var_names.get_loc(gene)
    dense[:, column] = np.random.default_rng(0).permutation(dense[:, column])
    reference.X = dense
    model = StImputeModel(*set_up(tissue.spatial.copy(), reference))
    model.train(**QUIET)
    reliability = model.gene_reliability()["reliability"]
    assert reliability[gene] < reliability.median()


def test_intervals_of_genes_that_are_harder_to_predict_are_wider(model):
    """The width is in units of a gene's expected standard deviation."""
    table = model.gene_reliability()
    imputed = model.impute(interval=0.8, progress=False)
    width = (imputed.layers["upper"] - imputed.layers["lower"]).mean(0)
    assert np.corrcoef(width, table["expected_std"])[0, 1] > 0.8


def test_cells_without_counts_are_average_cells_with_wide_intervals(model, tissue):
    counts = tissue.spatial.X.tolil()
    counts[:9] = 0
    section = tissue.spatial.copy()
    section.X = counts.tocsr()
    with pytest.warns(UserWarning, match="9 of 600 spatial cells have no count"):
        imputed = model.impute(section, genes=list(model.reference_genes), interval=0.9, progress=False)
    width = (imputed.layers["upper"] - imputed.layers["lower"]).mean(axis=1)
    assert width[:9].min() > np.median(width[9:])
    np.testing.assert_allclose(imputed.X[:9].mean(0), imputed.X[9:].mean(0), atol=0.25)


@pytest.mark.slow
def test_a_large_panel_is_as_accurate_with_components(tissue):
    """A small panel is treated as a large one: correlations in principal components, relations when needed."""
    score = {}
    for max_exact_genes in (10, 1000):
        result = tl.cross_validate(
            tissue.spatial,
            tissue.reference,
            n_folds=2,
            baselines=False,
            progress=False,
            train_kwargs=QUIET,
            max_exact_genes=max_exact_genes,
            n_components=12,
        )
        score[max_exact_genes] = result.summary["pcc"].max()
    assert score[10] > score[1000] - 0.02


# ---------------------------------------------------------------- nothing leaks


@pytest.fixture(scope="module")
def cells(model):
    return model.data.read_cells(None)


@pytest.mark.parametrize("with_niche", [True, False])
def test_training_batches_leave_no_trace_of_masked_genes(model, cells, with_niche):
    """Neither the input, nor the totals, nor the spatial neighbors change with the values of masked genes."""

    def make():
        neighbors = cells.neighbors(5) if with_niche else None
        return MaskedGeneBatches(cells, model.fit.preparation.scaling, neighbors, (0.3, 0.3), None, seed=0)

    rows = {"rows": torch.arange(20)}
    first = make()(rows)
    masked = np.flatnonzero(first["mask"].numpy() == 0)
    changed = make()
    dense = changed.expression.toarray()
    changed.total_counts = changed.total_counts + 6 * dense[:, masked].sum(1)
    dense[:, masked] *= 7
    changed.expression = sparse.csr_matrix(dense)
    second = changed(rows)
    is_input = first["mask"] == 1
    assert 0 < is_input.sum() < len(is_input)
    torch.testing.assert_close(first["X"][:, is_input], second["X"][:, is_input])
    assert (NICHE_KEY in first) == with_niche
    if with_niche:
        torch.testing.assert_close(first[NICHE_KEY][:, is_input], second[NICHE_KEY][:, is_input])
    assert not torch.allclose(first[TRUTH_KEY], second[TRUTH_KEY])


def test_every_batch_masks_other_genes(model, cells):
    batches = MaskedGeneBatches(cells, model.fit.preparation.scaling, None, (0.1, 0.5), None, seed=0)
    masks = np.stack([batches({"rows": torch.arange(3)})["mask"].numpy() for _ in range(40)])
    n_genes = masks.shape[1]
    n_masked = n_genes - masks.sum(1)
    assert len(np.unique(masks, axis=0)) > 30
    assert (n_masked >= max(MIN_MASKED, int(0.1 * n_genes))).all()
    assert (n_masked <= min(MAX_TARGETS, 0.5 * n_genes)).all()
    assert (masks.mean(0) < 1).all()  # each gene is masked at some time


@pytest.mark.parametrize("n_genes", [2, 3, 5])
def test_of_a_tiny_panel_one_gene_is_always_an_input(model, cells, n_genes):
    few = dataclasses.replace(cells, expression=cells.expression[:, :n_genes])
    fitted = model.fit.preparation.scaling
    scaling = dataclasses.replace(fitted, mean=fitted.mean[:n_genes], std=fitted.std[:n_genes])
    batches = MaskedGeneBatches(few, scaling, None, (0.9, 1.0), None, seed=0)
    n_masked = [int((batches({"rows": torch.arange(3)})["mask"] == 0).sum()) for _ in range(5)]
    assert n_masked == [n_genes - 1] * 5


def test_a_batch_is_scaled_to_the_lower_median_of_its_totals(model, cells):
    """Of an even number of cells, so that the total is one that a cell has."""
    scaling = model.fit.preparation.scaling
    batches = MaskedGeneBatches(cells, scaling, None, (0.3, 0.3), None, seed=0, mask_genes=False)
    rows = np.flatnonzero(cells.total_counts > 0)[:6]
    totals = cells.total_counts[rows]
    target_sum = np.sort(totals)[2]
    expected = np.log1p(cells.expression[rows].toarray() * (target_sum / totals)[:, None])
    found = batches({"rows": torch.from_numpy(rows)})["X"]
    np.testing.assert_allclose(found, scaling.standardize_values(expected.astype(np.float32)), rtol=1e-4, atol=1e-4)


def test_a_step_on_a_large_panel_learns_from_fewer_genes():
    assert [n_targets(n) for n in (33, 377, 1000)] == [MAX_TARGETS] * 3
    assert MIN_TARGETS <= n_targets(2000) < MAX_TARGETS
    assert n_targets(18_000) == MIN_TARGETS


def test_totals_leave_out_held_out_genes(cells):
    split = GeneSplit(np.arange(5, cells.expression.shape[1]), np.arange(5))
    total = np.asarray(cells.expression[:, 5:].sum(1)).ravel()
    np.testing.assert_allclose(cells.input_totals(split), total)


def test_a_member_never_learns_from_its_own_fold(model, monkeypatch):
    """The loss of a member does not include the genes that it predicts out of fold."""
    seen = []
    init = MaskedGeneModule.__init__

    def spy(self, *args, **kwargs):
        init(self, *args, **kwargs)
        seen.append(self.learns.numpy().copy())

    monkeypatch.setattr(MaskedGeneModule, "__init__", spy)
    small = fit(*set_up(*small_pair()), "crossfit")
    folds = small.predictor().folds
    (learns,) = seen
    for fold in range(len(folds)):
        split = folds.split(fold)
        assert learns[fold, split.inputs].all()
        assert not learns[fold, split.held_out].any()


def test_the_table_of_shared_genes_is_out_of_fold(model):
    """It is what was found when they were held out, not what the fitted regression says."""
    genes = list(model.shared_genes)
    table = model.gene_reliability(genes)
    known = model.fit.calibration.out_of_fold
    varies = model.data.attached.reference.expression.std[model.data.attached.reference.shared] > 0
    np.testing.assert_allclose(table["reliability"], np.where(varies, known.reliability, 0))
    np.testing.assert_allclose(table["expected_mean"], known.mean)
    np.testing.assert_allclose(table["expected_std"], known.std)
    np.testing.assert_allclose(table["z_score_std"], known.z_score_std)


# ---------------------------------------------------------------- parts of the method


def test_without_attention_or_relations_nothing_is_left(tissue):
    spatial, reference = set_up(tissue.spatial.copy(), tissue.reference.copy())
    with pytest.raises(ValueError, match="nothing to predict from"):
        StImputeModel(spatial, reference, relations=[], use_attention=False)


@pytest.mark.parametrize(
    "options", [{"relations": []}, {"use_attention": False}, {"use_space": False}, {"relations": ["protein"]}]
)
def test_parts_can_be_left_out(tissue, options):
    spatial, reference = set_up(tissue.spatial.copy(), tissue.reference.copy())
    model = StImputeModel(spatial, reference, **options)
    model.train(max_epochs=2, **QUIET)
    imputed = model.impute(genes=list(reference.var_names[-3:]), interval=0.8, progress=False)
    assert np.isfinite(imputed.X).all()
    assert (imputed.layers["lower"] <= imputed.layers["upper"]).all()
    assert (model.predictor().n_spatial_neighbors is None) == (options.get("use_space") is False)


@pytest.mark.filterwarnings("ignore:.*trained without the positions")
@pytest.mark.parametrize(("placed", "max_exact_genes"), [(True, 1000), (False, 1000), (True, 10)])
def test_what_is_trained_is_what_predicts(tissue, placed, max_exact_genes):
    """The training module and the predictor give the same z-score, with positions and without."""
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    if not placed:
        del spatial.obsm["spatial"]
    model = StImputeModel(*set_up(spatial, reference), n_folds=2, max_exact_genes=max_exact_genes, n_components=12)
    model.train(max_epochs=5, **QUIET)

    fold = 0
    predictor = model.predictor()
    ensemble = predictor.ensemble
    features = ensemble.features
    shared = ensemble.reference.shared
    cells = model.data.read_cells(None)
    neighbors = cells.neighbors(model.recipe.n_spatial_neighbors) if placed else None
    encoder = predictor.cell_encoder(fold)
    encoded = encoder.encode(cells.chunk(np.arange(30), neighbors))
    assert len(encoded.inputs) == (2 if placed else 1)

    held_out = encoder.split.held_out
    weights = predictor.gene_block(shared[held_out], fold).weights
    module = MaskedGeneModule(
        model.module["autoencoder"],
        model.module["graph"],
        torch.from_numpy(features.metacells.shared_profiles),
        features.statistics(shared),
        features.precision,
        torch.ones(2, len(shared), dtype=torch.bool),
    )
    mask = torch.from_numpy(encoder.split.mask())
    with torch.no_grad():
        z = module.inference(encoded.inputs[0], mask)["z"]
        relations = features.relation_features(shared[held_out], fold)
        output = module.generative(z, mask, encoded.inputs, torch.from_numpy(held_out), relations)
        trained = output["z_score"][fold].T
    np.testing.assert_allclose(weights.z_score(encoded), trained, atol=1e-4)


@pytest.mark.parametrize("fold", [None, 1])
def test_attention_is_that_of_the_member_or_the_mean_of_all(model, cells, fold):
    predictor = model.predictor()
    encoder = predictor.cell_encoder(fold)
    encoded = encoder.encode(cells.chunk(np.arange(10), cells.neighbors(10)))
    autoencoder = model.module["autoencoder"]
    profiles = torch.from_numpy(predictor.ensemble.features.metacells.shared_profiles)
    mask = torch.from_numpy(encoder.split.mask())
    with torch.no_grad():
        z = autoencoder.embed_cells(encoded.inputs[0], mask)
        attention = autoencoder.attention(z, autoencoder.embed_reference(profiles, mask))
    assert len(attention) == 5
    expected = attention.mean(0) if fold is None else attention[fold]
    np.testing.assert_allclose(encoded.attention, expected, atol=1e-6)


# ---------------------------------------------------------------- what travels


def arrays_in(value, seen=None):
    """All arrays and tensors below an object."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray | torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from arrays_in(part, seen)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from arrays_in(part, seen)
    elif isinstance(value, torch.nn.Module):
        yield from value.state_dict().values()
    elif hasattr(value, "__dict__"):
        yield from arrays_in(vars(value), seen)


@pytest.mark.parametrize("fold", [None, 0])
def test_blocks_and_encoders_have_nothing_of_the_reference_cells(fold):
    """With metacells, no array has as many entries along an axis as the reference has cells."""
    small = fit(*set_up(*small_pair()), "crossfit", {"max_epochs": 1}, n_metacells=20)
    predictor = small.predictor()
    reference = predictor.ensemble.reference
    targets = reference.shared[predictor.folds.split(fold).held_out]
    if fold is None:
        targets = np.flatnonzero(reference.position_among_shared(np.arange(44)) < 0)
    block, encoder = predictor.gene_block(targets, fold), predictor.cell_encoder(fold)
    found = [tuple(array.shape) for array in arrays_in([block, encoder])]
    assert len(found) > 5
    for shape in found:
        assert reference.expression.n_cells not in shape
        assert np.prod(shape) < reference.expression.n_cells * len(targets) * 10
    for part in (block, encoder):
        names = {field.name for field in dataclasses.fields(part)}
        assert not names & {"reference", "expression", "ensemble"}


def test_metacells_are_few_however_large_the_reference(tissue):
    sizes = []
    for n_cells in (200, 800):
        spatial, reference = set_up(tissue.spatial.copy(), tissue.reference[:n_cells].copy())
        model = StImputeModel(spatial, reference, n_metacells=30)
        model.train(max_epochs=1, **QUIET)
        predictor = model.predictor()
        block = predictor.gene_block(np.arange(2), None)
        sizes.append(len(pickle.dumps((block, predictor.cell_encoder(None)))))
    assert sizes[1] <= 1.05 * sizes[0]


# ---------------------------------------------------------------- values


def test_values_are_mean_and_slope_times_z_score(model, cells):
    predictor = model.predictor()
    targets = np.arange(3)
    block = predictor.gene_block(targets, None)
    encoded = predictor.cell_encoder(None).encode(cells.chunk(np.arange(50), cells.neighbors(10)))
    z_score = block.weights.z_score(encoded)
    table = block.table
    mean, std = table["expected_mean"].to_numpy(), table["expected_std"].to_numpy()
    shrunken = np.maximum(mean + std * model.fit.calibration.slope * z_score, 0)
    matched = np.maximum(mean + std * z_score / table["z_score_std"].to_numpy(), 0)
    np.testing.assert_allclose(block.predict(encoded, OutputOptions())["X"], shrunken, atol=1e-5)
    found = block.predict(encoded, OutputOptions(variance="matched"))
    np.testing.assert_allclose(found["X"], matched, atol=1e-5)
    assert found.keys() == {"X"}
    assert block.predict(encoded, OutputOptions(interval=0.5)).keys() == {"X", "lower", "upper"}


def test_the_standard_deviation_of_the_z_score_is_that_over_the_probe_cells(model):
    """The probe cells are the training cells, where there are few of these."""
    gene = model.reference_genes[~model.reference_genes.isin(model.shared_genes)][0]
    z_score_std = model.gene_reliability(gene)["z_score_std"].iloc[0]
    probe = model.predictor()._probe
    target = model.reference_genes.get_indexer([gene])
    z_score = model.predictor().gene_block(target, None).weights.z_score(probe)
    assert len(z_score) == 600
    assert z_score.std() == pytest.approx(z_score_std, abs=2e-3)


def test_an_interval_that_cannot_be_had_is_told():
    """Few genes cannot show that 99.99 % of the values of unseen genes would be covered."""
    model = fit(*set_up(*small_pair(proteins=False)), "crossfit")
    with pytest.warns(UserWarning, match="cannot be had"):
        imputed = model.impute(interval=0.9999, progress=False)
    about = imputed.uns["stimpute"]
    assert about["interval"] == 0.9999
    assert about["interval_reached"] == model.predictor().highest_interval < 0.9999
    reached = model.impute(interval=0.5, progress=False).uns["stimpute"]["interval_reached"]
    assert reached == 0.5
