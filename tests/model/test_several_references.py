"""Models on more than one reference."""

import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from small import QUIET, bare, small_pair, values

from stimpute import StImputeModel, pp, share, tl


@pytest.fixture(scope="module")
def parts():
    """Spatial data, and a reference in two parts: other cells, and some genes that one of them lacks."""
    spatial, reference = small_pair(proteins=False)
    unmeasured = reference.var_names.difference(spatial.var_names)
    first = reference[::2, ~reference.var_names.isin(unmeasured[:5])].copy()
    second = reference[1::2, ~reference.var_names.isin(unmeasured[-5:])].copy()
    return spatial, {"first": first, "second": second}


def set_up_all(spatial, references):
    for adata in (spatial, *references.values()):
        StImputeModel.setup_anndata(adata)


@pytest.fixture(scope="module")
def model(parts):
    set_up_all(*parts)
    model = StImputeModel(*parts)
    model.train(**QUIET, seed=0)
    return model


def test_genes_of_all_references_are_imputed(parts, model):
    spatial, references = parts
    union = references["first"].var_names.union(references["second"].var_names)
    imputed = model.impute(interval=0.9)
    assert set(imputed.var_names) == set(union.difference(spatial.var_names))
    assert np.isfinite(imputed.X).all()
    for name, adata in references.items():
        assert (imputed.var[f"in_{name}"] == imputed.var_names.isin(adata.var_names)).all()


def test_the_joined_reference_is_kept_and_not_registered(model):
    assert model.reference.obs["dataset"].cat.categories.tolist() == ["first", "second"]
    assert model.reference_setup["dataset_key"] == "dataset"
    assert "_scvi_uuid" not in model.reference.uns or not any(
        manager.adata is model.reference for manager in StImputeModel._setup_adata_manager_store.values()
    )


def test_one_reference_in_a_list_is_that_reference(parts):
    spatial, references = parts
    predicted = []
    for reference in (references["first"], [references["first"]]):
        set_up_all(spatial, references)
        model = StImputeModel(spatial, reference)
        model.train(**QUIET, seed=0)
        predicted.append(values(model.impute()))
    np.testing.assert_array_equal(predicted[0], predicted[1])


def test_a_saved_model_is_loaded_with_the_same_references(parts, model, tmp_path):
    spatial, references = parts
    model.save(tmp_path / "model")
    bare_references = {name: bare(adata) for name, adata in references.items()}
    loaded = StImputeModel.load(tmp_path / "model", adata=bare(spatial), reference=bare_references)
    np.testing.assert_array_equal(values(loaded.impute()), values(model.impute()))
    assert loaded.sizes == model.sizes
    backwards = dict(reversed(bare_references.items()))
    loaded = StImputeModel.load(tmp_path / "model", adata=bare(spatial), reference=backwards)
    np.testing.assert_array_equal(values(loaded.impute()), values(model.impute()))
    swapped = {"first": bare_references["second"], "second": bare_references["first"]}
    with pytest.raises(ValueError, match="not the reference"):
        StImputeModel.load(tmp_path / "model", adata=bare(spatial), reference=swapped)


def test_a_saved_model_finds_references_that_were_saved_with_it(parts, model, tmp_path):
    model.save(tmp_path / "model", save_reference=True)
    loaded = StImputeModel.load(tmp_path / "model", adata=bare(parts[0]))
    np.testing.assert_array_equal(values(loaded.impute()), values(model.impute()))


def test_a_shared_model_embeds_all_references(parts, model, tmp_path):
    share.save(model, tmp_path / "shared", save_reference=True)
    loaded = share.load(tmp_path / "shared", adata=bare(parts[0]))
    np.testing.assert_array_equal(values(loaded.impute()), values(model.impute()))


def test_a_shared_model_takes_the_same_references(parts, model, tmp_path):
    spatial, references = parts
    share.save(model, tmp_path / "shared")
    given = {name: bare(adata) for name, adata in references.items()}
    loaded = share.load(tmp_path / "shared", adata=bare(spatial), reference=given)
    np.testing.assert_array_equal(values(loaded.impute()), values(model.impute()))
    with pytest.raises(TypeError, match="`reference` is a str; expected an AnnData"):
        share.load(tmp_path / "shared", reference="reference.h5ad")
    assert share.load(tmp_path / "shared", reference=False).reference is None


def test_one_of_several_references_is_not_enough(parts, model, tmp_path):
    spatial, references = parts
    model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"trained with the references \['first', 'second'\], and this is one"):
        StImputeModel.load(tmp_path / "model", adata=bare(spatial), reference=bare(references["first"]))


def test_neighbors_and_labels_are_from_all_references(parts, model):
    index, _ = model.get_neighbors(n_neighbors=20)
    assert set(model.reference.obs["dataset"].iloc[index.ravel()]) == {"first", "second"}
    labels = model.transfer_labels("cell_type")
    assert labels["label"].notna().all()


def test_cells_of_one_reference_are_embedded_as_part_of_all(model):
    everything = model.get_latent_representation(dataset="reference")
    some = model.reference[model.reference.obs["dataset"] == "second"][:7].copy()
    rows = model.reference.obs_names.get_indexer(some.obs_names)
    np.testing.assert_allclose(model.get_latent_representation(some), everything[rows], atol=1e-5)


def test_references_may_differ_in_kind(parts):
    spatial, references = parts
    normalized = bare(references["second"])
    normalized.X = normalized.X.astype(np.float32)
    totals = np.asarray(normalized.X.sum(1))
    normalized.X = normalized.X.multiply(1 / totals).tocsr()
    normalized.X.data = np.log1p(1e3 * normalized.X.data)
    first = bare(references["first"])
    data = bare(spatial)
    StImputeModel.setup_anndata(data)
    StImputeModel.setup_anndata(first)
    StImputeModel.setup_anndata(normalized, expression="normalized")
    model = StImputeModel(data, [first, normalized])
    model.train(**QUIET)
    assert model.reference_setup["expression"] == "normalized"
    assert np.isfinite(values(model.impute())).all()


def test_a_reference_that_was_joined_by_hand_is_the_same(parts, model):
    spatial, references = parts
    joined = pp.join_references({name: bare(adata) for name, adata in references.items()})
    data = bare(spatial)
    StImputeModel.setup_anndata(data)
    StImputeModel.setup_anndata(joined, dataset_key="dataset")
    again = StImputeModel(data, joined)
    again.train(**QUIET, seed=0)
    np.testing.assert_array_equal(values(again.impute()), values(model.impute()))


def test_modalities_of_a_mudata(parts):
    spatial, references = parts
    data = {"spatial": bare(spatial), **{name: bare(adata) for name, adata in references.items()}}
    mdata = mudata.MuData(data)
    StImputeModel.setup_mudata(mdata, reference=list(references))
    model = StImputeModel.from_mudata(mdata, reference=list(references))
    assert model.reference_shape[0] == sum(adata.n_obs for adata in references.values())


def test_cross_validation_takes_several_references(parts):
    spatial, references = parts
    references = {name: bare(adata) for name, adata in references.items()}
    result = tl.cross_validate(bare(spatial), references, n_folds=2, train_kwargs=QUIET, progress=False)
    assert result.predicted.n_vars > 0
    assert result.summary.loc["stimpute", "pcc"] > 0
    assert "_scvi_uuid" not in references["first"].uns


def test_a_recipe_for_one_reference_says_so(parts):
    set_up_all(*parts)
    with pytest.raises(ValueError, match="one reference"):
        StImputeModel(*parts, recipe="paper")


def test_references_must_be_set_up(parts):
    spatial, references = parts
    data = bare(spatial)
    StImputeModel.setup_anndata(data)
    with pytest.raises(ValueError, match=r"`reference\[0\]` is not set up"):
        StImputeModel(data, [bare(reference) for reference in references.values()])


@pytest.mark.slow
def test_a_type_that_the_first_reference_lacks_is_predicted_from_the_second():
    """Genes of a cell type are predicted better with a reference that has the type."""
    spatial, reference = small_pair(proteins=False, n_cells=400, n_reference=600, n_measured=40)
    by_type = pd.DataFrame(reference.X.toarray(), columns=reference.var_names).groupby(
        reference.obs["cell_type"].to_numpy()
    )
    means = by_type.mean()
    missing = means.index[0]
    lead = means.loc[missing] - means.drop(missing).max()
    markers = lead[[gene for gene in lead.index if gene in set(spatial.var_names)]].nlargest(4).index
    without = reference[(reference.obs["cell_type"] != missing).to_numpy()].copy()
    truth = np.log1p(spatial[:, list(markers)].X.toarray())
    visible = spatial[:, ~spatial.var_names.isin(markers)].copy()
    correlation = {}
    for name, references in {"without": [without], "with": [without, reference]}.items():
        for adata in (visible, *references):
            StImputeModel.setup_anndata(adata)
        model = StImputeModel(visible, references)
        model.train(accelerator="cpu", enable_progress_bar=False, seed=0)
        predicted = values(model.impute(genes=list(markers)))
        correlation[name] = np.mean([np.corrcoef(truth[:, i], predicted[:, i])[0, 1] for i in range(4)])
    assert correlation["with"] > correlation["without"] + 0.02


def test_genes_that_the_first_reference_lacks_keep_their_scale(parts):
    """Correlations from two references, a pair of genes each, need not fit together."""
    spatial, reference = small_pair(proteins=False)
    lacking = {"first": reference[:180, ~reference.var_names.isin(spatial.var_names[::3])].copy()}
    lacking["second"] = reference[180:].copy()  # 31 cells
    set_up_all(spatial, lacking)
    model = StImputeModel(spatial, lacking)
    model.train(**QUIET, seed=0)
    precision = model.predictor().ensemble.features.precision
    identity = np.eye(len(model.shared_genes), dtype=np.float32)
    inverse = precision.multiply(torch.from_numpy(identity)).numpy()
    assert np.linalg.eigvalsh(inverse).min() > 0
    assert np.linalg.eigvalsh(inverse).max() <= 1.001  # the ridge is 1


@pytest.mark.parametrize("wrong", [{"recipe": "paper"}, {"relations": "nowhere"}])
def test_a_model_that_cannot_be_made_leaves_no_joined_reference(parts, wrong):
    set_up_all(*parts)
    before = set(StImputeModel._setup_adata_manager_store)
    with pytest.raises((KeyError, ValueError)):
        StImputeModel(*parts, **wrong)
    assert set(StImputeModel._setup_adata_manager_store) == before
    with pytest.raises(ValueError, match="`spatial` is not set up"):
        StImputeModel(bare(parts[0]), parts[1])
    assert set(StImputeModel._setup_adata_manager_store) == before
