"""The contract on real pairs."""

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from small import fit, set_up

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).parents[2] / "shared" / "data"))
pytestmark = [
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
    assert len(model.panel_) == 16
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
    genes = list(reference.var_names[~reference.var_names.isin(model.panel_)][::300])
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
    imputed = model.impute(other, genes=list(model.panel_[:3]), progress=False)
    assert list(imputed.obs_names) == list(other.obs_names)
    assert np.isfinite(imputed.X).all()
