"""The studies on the pairs of the paper, where somebody has files of them."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import _pairs
from benchmarks.paper import __main__ as main
from benchmarks.paper import clustering
from benchmarks.paper._study import tasks_of

from stimpute import datasets, tl

NAME = "Xenium_GSM5051495"


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Save a small pair under the name of one of the paper, and return its section."""
    tissue = datasets.synthetic_tissue(n_cells=40, n_reference=30, n_measured=8, n_unmeasured=4, n_missing_proteins=1)
    (tmp_path / NAME).mkdir()
    tissue.reference.write_h5ad(tmp_path / NAME / "reference.h5ad")
    monkeypatch.setattr(_pairs, "DATA", tmp_path)
    return tissue.spatial


def test_a_saved_pair_is_loaded_and_offered(saved, tmp_path, monkeypatch):
    del saved.obs["cell_type"]
    saved.write_h5ad(tmp_path / NAME / "spatial.h5ad")
    pair = _pairs.load_pair(NAME, 20)
    assert pair.spatial.shape == (20, 8)
    assert set(pair.spatial.obs["cell_type"]) == {"unknown"}
    monkeypatch.setattr(sys, "argv", ["paper"])
    assert NAME in main._arguments({}).pair
    assert NAME in {task.pair for task in tasks_of("clustering", clustering.STUDY)}


def test_without_files_the_pair_is_not_offered_and_loading_says_what_to_get(tmp_path, monkeypatch):
    monkeypatch.setattr(_pairs, "DATA", tmp_path)
    monkeypatch.setattr(sys, "argv", ["paper"])
    assert NAME not in main._arguments({}).pair
    with pytest.raises(FileNotFoundError, match="10xgenomics.*GSM5051495"):
        _pairs.load_pair(NAME)


def test_values_that_are_not_counts_are_used_as_normalized(saved, tmp_path, capsys):
    saved.X = saved.X.astype(np.float32) * np.float32(0.7)
    saved.write_h5ad(tmp_path / NAME / "spatial.h5ad")
    pair = _pairs.load_pair(NAME)
    assert pair.expression == "normalized"
    fold = tl.gene_folds(pair.spatial, pair.reference, n_folds=2)[0]
    assert fold.spatial_setup["expression"] == "normalized"
    np.testing.assert_allclose(fold.truth, np.log1p(saved[:, fold.targets].X.toarray()), rtol=1e-5)
    said = capsys.readouterr().err
    assert "no counts" in said
    assert "esm2_UNION.npz is used" in said


def test_a_section_without_positions_is_used_without_them(saved, tmp_path, capsys):
    del saved.obsm["spatial"]
    saved.write_h5ad(tmp_path / NAME / "spatial.h5ad")
    pair = _pairs.load_pair(NAME)
    assert "no positions" in capsys.readouterr().err
    assert pair.expression == "counts"
    assert tl.gene_folds(pair.spatial, pair.reference, n_folds=2)[0].truth.shape == (40, 4)
