"""The contract on real pairs."""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from small import fit, set_up

from stimpute import pp, tl

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).parents[2] / "shared" / "data"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real pairs at {DATA}: set STIMPUTE_DATA"),
]
ONE_EPOCH = {"max_epochs": 1, "max_cells": 1000}


def read(*names):
    return (ad.read_h5ad(DATA / f"{name}.h5ad") for name in names)


def test_the_genes_that_osmfish_lacks():
    spatial, reference = read("OSMFISH/spatial", "OSMFISH/reference_mop500")
    spatial = spatial[::2].copy()
    model = fit(*set_up(spatial, reference), "paper", ONE_EPOCH)
    assert len(model.shared_genes) == 16
    imputed = model.impute(progress=False)
    assert imputed.shape == (spatial.n_obs, 484)
    assert np.isfinite(imputed.X).all()
    assert not set(imputed.var_names) & set(spatial.var_names)


@pytest.fixture(scope="module")
def merfish(recipe):
    spatial, reference = read("MERFISH_HYPOTHALAMUS/spatial", "MERFISH_HYPOTHALAMUS/reference")
    return fit(*set_up(spatial[::10].copy(), reference), recipe, ONE_EPOCH), reference


def test_one_gene_alone_is_the_same_among_others(merfish):
    model, reference = merfish
    genes = list(reference.var_names[~reference.var_names.isin(model.shared_genes)][::300])
    many = model.impute(genes=genes, progress=False)
    assert many.n_vars > 50
    for gene in genes[::20]:
        alone = model.impute(genes=[gene], progress=False)
        np.testing.assert_allclose(alone.X, many[:, [gene]].X, atol=1e-5)
        assert alone.var.loc[gene, "reliability"] == pytest.approx(many.var.loc[gene, "reliability"], abs=1e-4)


def test_another_animal_without_retraining(merfish):
    model, _ = merfish
    (other,) = read("MERFISH_HYPOTHALAMUS/spatial_animal7_bregma0.16")
    other = other[::10].copy()
    imputed = model.impute(other, genes=list(model.shared_genes[:3]), progress=False)
    assert list(imputed.obs_names) == list(other.obs_names)
    assert np.isfinite(imputed.X).all()


def cross_validated(pair, table, n_cells=None, **kwargs):
    """Summary over the genes that both datasets have, as the benchmarks have it."""
    spatial, reference = read(f"{pair}/spatial", f"{pair}/reference")
    if n_cells is not None:
        rows = np.sort(np.random.RandomState(0).choice(spatial.n_obs, n_cells, replace=False))
        spatial = spatial[rows]
    spatial = spatial[:, spatial.var_names.isin(reference.var_names)].copy()
    pp.add_protein_embeddings(reference, DATA / table)
    train = {"accelerator": "cpu"}
    return tl.cross_validate(spatial, reference, progress=False, train_kwargs=train, **kwargs).summary


def test_crossfit_is_far_ahead_of_the_baselines_on_real_tissue():
    summary = cross_validated("OSMFISH", "esm2_osmFISH.npz", n_cells=1000)
    ours, knn = summary.loc[tl.MODEL_NAME], summary.loc["kNN"]
    assert ours["pcc"] > max(0.342, knn["pcc"] + 0.08)  # .342: a dense prototype of the method
    assert ours["css"] > summary["css"].drop(tl.MODEL_NAME).max()
    assert ours["mse"] < summary["mse"].drop(tl.MODEL_NAME).min()


def test_the_paper_recipe_reaches_the_published_accuracy():
    summary = cross_validated("OSMFISH_VISP", "esm2_osmFISH.npz", recipe="paper", totals="all", seed=1)
    ours = summary.loc[tl.MODEL_NAME]
    assert ours["pcc"] > 0.22
    assert ours["css"] > 0.755
    assert ours["cell_css"] > 0.78
    assert ours["mse"] < 0.97
