"""The studies on the pairs of the paper, where somebody has files of them."""

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import _pairs
from benchmarks.paper import __main__ as main
from benchmarks.paper import _cache, _lacks, _predictions, _rivals, accuracy, clustering, nulls, patterns
from benchmarks.paper._held_out import correlation_within, make_folds
from benchmarks.paper._study import all_studies, tasks_of
from peers import _measure, _normalize
from peers._exchange import Answer

from stimpute import datasets, tl
from stimpute.recipes import _registry

NAME = "Xenium_GSM5051495"
LACKS = ("positions", "counts", "labels", "proteins")
SKIPPED = {  # studies of which no part is measured
    "positions": {"downstream", "patterns"},
    "counts": {"preprocessing", "systems"},
    "labels": {"clustering", "downstream", "ligand_receptor", "unmeasured"},
    "proteins": set(),
}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Save a small pair under the name of one of the paper, with protein vectors, and return its section."""
    tissue = datasets.synthetic_tissue(n_cells=100, n_reference=80, n_measured=16, n_unmeasured=20, n_types=3)
    names = dict(zip(tissue.spatial.var_names, patterns.GENES, strict=False))
    for genes in (tissue.spatial.var, tissue.reference.var, tissue.proteins.obs):
        genes.rename(index=names, inplace=True)
    (tmp_path / NAME).mkdir()
    tissue.reference.write_h5ad(tmp_path / NAME / "reference.h5ad")
    np.savez(tmp_path / _pairs.UNION, genes=np.array(tissue.proteins.obs_names, dtype=str), embedding=tissue.proteins.X)
    monkeypatch.setattr(_pairs, "DATA", tmp_path)
    return tissue.spatial


@pytest.fixture
def without(saved, tmp_path):
    """Save the section without some of what others have."""

    def save(*lacks):
        if "positions" in lacks:
            del saved.obsm["spatial"]
        if "counts" in lacks:
            saved.X = saved.X.astype(np.float32) * np.float32(0.7)
        if "labels" in lacks:
            del saved.obs["cell_type"]
        if "proteins" in lacks:
            np.savez(tmp_path / _pairs.UNION, genes=np.array(["A", "B", "C"]), embedding=np.eye(3))
        saved.write_h5ad(tmp_path / NAME / "spatial.h5ad")
        return _pairs.load_pair(NAME)

    return save


class Fitted:
    """A model that draws what it predicts."""

    def __init__(self, fold, **options):
        self.fold = fold

    def impute(self, adata=None, genes=(), **options):
        cells = self.fold.spatial if adata is None else adata
        drawn = np.random.default_rng(0).random((cells.n_obs, len(genes))).astype(np.float32)
        return ad.AnnData(drawn, var=pd.DataFrame({"reliability": 0.5}, index=list(genes)))


def ask(system, folds, seed, paths, limit_s=None):
    """Answer for a system."""
    for fold, path in zip(folds, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        cost = {"name": system, "cpu_seconds": 1, "wall_seconds": 1, "peak_gib": 1, "device": "cpu"}
        Answer({"expression": Fitted(fold).impute(genes=fold.targets).X}, cost).write(path)


@pytest.fixture
def studies(tmp_path, monkeypatch):
    """All studies, with results in a temporary folder, and nothing that takes long."""
    from benchmarks.paper import data

    registered = dict(_registry._registered)
    found = all_studies()
    _registry._registered.clear()
    _registry._registered.update(registered)
    monkeypatch.setattr(data, "DATA", tmp_path)
    monkeypatch.setattr(_cache, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(_measure, "PARTS", tmp_path / "parts")
    monkeypatch.setattr(_measure, "ask", ask)
    monkeypatch.setattr(tl, "fit_fold", Fitted)
    monkeypatch.setattr(accuracy, "post_hoc_reliability", lambda held, noise=0: np.zeros(len(held.genes)))
    monkeypatch.setattr(clustering, "RESOLUTIONS", (clustering.DEFAULT,))
    monkeypatch.setitem(_rivals.BOOSTING, "max_iter", 2)
    monkeypatch.setattr(_rivals, "ROUNDS", (1, 2))
    _measure._make_folds.cache_clear()
    yield found
    _measure._make_folds.cache_clear()


def tasks(studies):
    """List the tasks on the pair of the paper with the first seed."""
    return [task for name in studies for task in tasks_of(name, studies[name]) if task.pair == NAME and not task.seed]


def test_a_saved_pair_is_loaded_and_offered(saved, tmp_path, monkeypatch):
    del saved.obs["cell_type"]
    saved.write_h5ad(tmp_path / NAME / "spatial.h5ad")
    pair = _pairs.load_pair(NAME, 20)
    assert pair.spatial.shape == (20, 16)
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


def test_values_that_are_not_counts_are_used_as_normalized(saved, without):
    pair = without("counts")
    assert pair.expression == "normalized"
    fold = tl.gene_folds(pair.spatial, pair.reference, n_folds=2)[0]
    expected = np.log1p(saved[:, fold.targets].X.toarray())
    np.testing.assert_allclose(fold.truth, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="no counts"):
        _normalize.normalized_pair(fold)
    permuted = nulls.permute_section(pair, 0)
    assert make_folds(permuted, 0)[0].spatial_setup == {"expression": "normalized"}
    unmeasured = _predictions.unmeasured_fold(pair)
    inputs = saved[:, unmeasured.spatial.var_names].X.toarray()
    np.testing.assert_allclose(unmeasured.dense.spatial, np.log1p(inputs), rtol=1e-5)


@pytest.mark.parametrize("lack", LACKS)
def test_a_pair_says_what_it_lacks(lack, without, capsys):
    assert without(lack).lacks == [lack]
    assert f"{NAME} has no {lack}: " in capsys.readouterr().err


def test_a_pair_that_lacks_nothing_says_nothing(without, capsys):
    assert without().lacks == []
    assert capsys.readouterr().err == ""


def test_without_a_table_of_proteins_there_are_none(without, tmp_path):
    without()
    (tmp_path / _pairs.UNION).unlink()
    assert _pairs.load_pair(NAME).lacks == ["proteins"]


def test_what_studies_need_names_their_parts(studies):
    for name, needs in _lacks.NEEDS.items():
        for text in {*needs} - {*_predictions.FURTHER}:  # which not all studies have
            assert any(text in part for part in studies[name].parts), (name, text)
        assert {what for names in needs.values() for what in names} <= set(LACKS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lack", LACKS)
def test_every_study_is_measured_or_skipped_with_a_reason(lack, without, studies):
    """One task is tried for each study and each set of what its parts need."""
    without(lack)
    tried = {(task.study, frozenset(_lacks.needs_of(task))): task for task in reversed(tasks(studies))}
    measured, skipped = set(), set()
    for (name, needs), task in tried.items():
        if lack in needs:
            with pytest.raises(_lacks.SkippedError, match=f"{NAME} has no {lack}$"):
                _cache.measure(task, studies[name])
            skipped.add(name)
            assert not _cache.is_measured(task)
        else:
            _cache.measure(task, studies[name])
            measured.add(name)
            assert len(pd.read_csv(_cache.path_of(task)))
    assert skipped - measured == SKIPPED[lack]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nothing_is_said_of_types_or_positions_that_are_not_there(without, studies, capsys):
    without("positions", "labels")
    by_name = {str(task): task for task in tasks(studies)}
    tables = {}
    for name, part in (("accuracy", "plain"), ("needs", "less data")):
        task = by_name[f"{name} {NAME} 0 {part}"]
        _cache.measure(task, studies[name])
        tables[name] = pd.read_csv(_cache.path_of(task))
    assert tables["accuracy"]["pcc_within"].isna().all()
    assert not tables["accuracy"]["method"].str.contains("type").any()
    assert "noise in positions, cell distances" not in set(tables["needs"]["needs"])
    assert "without noise in positions" in capsys.readouterr().err
    one_type = np.repeat("unknown", 3)
    assert np.isnan(correlation_within(np.eye(3), np.eye(3), one_type)).all()
    assert np.isnan(patterns._within(np.arange(3), np.arange(3), one_type))


def test_a_section_without_the_genes_of_the_maps_has_none(without, studies, monkeypatch):
    without()
    monkeypatch.setattr(patterns, "GENES", ("RORB",))
    task = next(task for task in tasks(studies) if task.study == "patterns")
    with pytest.raises(_lacks.SkippedError, match=f"{NAME} has none of the genes RORB"):
        _cache.measure(task, studies["patterns"])


def test_a_reference_with_the_genes_of_the_section_alone_leaves_nothing_to_predict(without, studies, monkeypatch):
    without()
    monkeypatch.setattr(_predictions, "unmeasured_fold", lambda *given: None)
    task = next(task for task in tasks(studies) if task.study == "unmeasured")
    with pytest.raises(_lacks.SkippedError, match="no gene that the section lacks"):
        _cache.measure(task, studies["unmeasured"])


def test_a_run_skips_with_one_line_for_each_task_and_goes_on(without, studies, monkeypatch, capsys):
    without("labels")
    monkeypatch.setattr(main, "all_studies", lambda: studies)
    arguments = ["clustering", "data", "--here", "--pair", NAME, "--part", "ours and kNN", ""]
    monkeypatch.setattr(sys, "argv", ["paper", *arguments])
    monkeypatch.setattr(main.logging, "disable", lambda level: None)
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == main.SKIPPED
    lines = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert lines == [f"clustering {NAME} 0 ours and kNN: skipped, because {NAME} has no labels"]
    [task] = [task for task in tasks(studies) if task.study == "data"]
    assert _cache.is_measured(task)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", ["crossfit", "paper"])
def test_both_recipes_are_trained_on_a_pair_that_lacks_everything(recipe, without):
    pair = without(*LACKS)
    steps = {"crossfit": {"n_steps": 2}, "paper": {"autoencoder_epochs": 1, "graph_epochs": 1}}[recipe]
    for fold in (_predictions.folds(pair, 0)[0], _predictions.unmeasured_fold(pair)):
        model = tl.fit_fold(fold, recipe=recipe, train_kwargs={"enable_progress_bar": False}, **steps)
        assert np.isfinite(model.impute(genes=fold.targets, progress=False).X).all()
