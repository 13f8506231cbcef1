import json

import anndata as ad
import numpy as np
import pytest

from stimpute import datasets

FILES = {"imputed.h5ad", "accuracy.png", "history.png", "held_out_genes.png", "unmeasured_genes.png"}


@pytest.mark.slow
def test_own_data_are_imputed_from_all_measured_genes(run, data, fast, tmp_path):
    assert run("impute", *data, *fast, "-o", "all.h5ad", "-q").status == 0
    result = run("demo", *data, *fast, "--out", "demo", "--json")
    assert result.status == 0
    told = json.loads(result.out)
    assert set(told["summary"]) == {"constant", "reference mean, calibrated", "kNN", "stimpute"}
    assert "unmeasured" not in told  # its truth is not known
    assert {path.name for path in (tmp_path / "demo").iterdir()} == FILES
    assert {name.removeprefix("demo/") for name in told["files"]} == FILES
    imputed = ad.read_h5ad(tmp_path / "demo" / "imputed.h5ad")
    expected = ad.read_h5ad(tmp_path / "all.h5ad")
    assert list(imputed.var_names) == list(expected.var_names)
    np.testing.assert_allclose(imputed.X, expected.X, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_simulated_tissue_is_scored_against_its_truth(run, fast, monkeypatch):
    tissue = datasets.synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    monkeypatch.setattr(datasets, "synthetic_tissue", lambda seed: tissue)
    result = run("demo", *fast, "--out", "demo")
    assert result.status == 0
    assert "held out from every method" in result.out
    assert "never measured, against their simulated truth" in result.out
    assert "pcc ↑" in result.out
    assert "mse ↓" in result.out
    assert "\r" not in result.out + result.err


def test_data_without_positions_have_no_maps(run, data, fast, tmp_path):
    result = run("demo", *data, *fast, "--spatial-key", "none", "--out", "demo", "-q")
    assert result.status == 0
    assert {path.name for path in (tmp_path / "demo").iterdir()} == FILES - {
        "held_out_genes.png",
        "unmeasured_genes.png",
    }


@pytest.mark.parametrize("which", [0, 2])
def test_both_datasets_are_needed_or_neither(run, data, which):
    result = run("demo", *data[which : which + 2])
    assert result.status == 2
    assert "both --spatial and --reference" in result.err
