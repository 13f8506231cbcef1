import builtins
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute import StImputeModel, pp, report, tl
from stimpute.datasets import synthetic_tissue
from stimpute.report import _page
from stimpute.report._page import text
from stimpute.tl import GraphControl

pytest.importorskip("jinja2")
RECIPES = {"crossfit": {"n_steps": 10, "n_metacells": 30}, "paper": {"n_neighbors": 10, "rounds": 1}}
OPTIONS = {"max_epochs": 2, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Draw few points only."""
    monkeypatch.setattr(_page, "DPI", 30)


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    tissue.reference.var_names = [name if i else "<Ab|c>" for i, name in enumerate(tissue.reference.var_names)]
    tissue.spatial.obs["section"] = np.where(np.arange(120) < 90, "a", "b")
    pp.protein_graph(tissue.reference, tissue.proteins)
    return tissue


def trained(tissue, recipe="crossfit", **setup):
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, recipe=recipe, **RECIPES[recipe])
    model.train(enable_progress_bar=False, **OPTIONS)
    return model


@pytest.fixture(scope="module")
def model(tissue):
    return trained(tissue, batch_key="section")


@pytest.fixture(scope="module")
def validation(tissue):
    options = {"n_folds": 2, "progress": False, "train_kwargs": OPTIONS, "interval": 0.9}
    return tl.cross_validate(tissue.spatial, tissue.reference, **options, **RECIPES["crossfit"])


def headings(path):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", path.read_text())


def test_each_result_adds_its_sections(model, validation, tmp_path):
    path = report.write(model, path=tmp_path / "model.html", n_maps=1)
    assert headings(path) == ["Which genes to trust", "Maps", "Genes and cells", "How it was made"]
    path = report.write(validation, path=tmp_path / "validation.html", n_maps=1)
    assert headings(path)[:4] == ["Accuracy on hidden genes", "Which genes to trust", "Maps", "Intervals"]
    imputed = model.impute(progress=False)
    path = report.write(imputed, path=str(tmp_path / "imputed.html"), title="Mine", n_maps=1)
    assert headings(path) == ["Which genes to trust", "Maps", "How it was made"]
    assert "<h1>Mine</h1>" in path.read_text()
    assert not re.search(r"https?://", path.read_text())


def test_numbers_are_those_of_the_results(model, validation, tmp_path):
    page = report.write(validation, model, path=tmp_path / "page.html", n_maps=0).read_text()
    for method in ("kNN", "stimpute"):
        assert f'<th scope="row">{method}</th><td>{text(validation.summary.loc[method, "pcc"])}</td>' in page
    predicted = validation.predicted
    inside = ((predicted.layers["lower"] <= predicted.X) & (predicted.layers["upper"] >= predicted.X)).mean()
    assert f"{inside:.1%} of the hidden values" in page
    assert f"The model reads {len(model.panel_)} genes" in page
    assert "batch_key" in page
    assert model._recipe.name in page


def test_names_are_escaped(model, tmp_path):
    page = report.write(model, path=tmp_path / "page.html", title="<script>alert(1)</script>", n_maps=0).read_text()
    assert "&lt;Ab|c&gt;" in page or "<Ab|c>" not in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.1, 0.0), "helps here"),
        ((0.1, 0.1), "not clearly more than the same one with its genes permuted"),
        ((0.0, 0.0), "does not clearly help"),
    ],
)
def test_the_graph_control_has_a_verdict(gain, verdict, tmp_path):
    rng = np.random.default_rng(0)
    values = {"without protein": 0.0, "protein": gain[0], "protein, permuted 1": gain[1]}
    parts = [
        pd.DataFrame({"method": name, "gene": [f"g{i}" for i in range(9)], "metric": "pcc", "value": value})
        for name, value in values.items()
    ]
    scores = pd.concat(parts, ignore_index=True)
    scores["value"] += 0.01 * rng.random(len(scores))
    page = report.write(GraphControl("protein", scores), path=tmp_path / "page.html").read_text()
    assert verdict in page


def test_data_without_a_place_have_no_maps(tissue, tmp_path):
    bare = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    del bare.spatial.obsm["spatial"]
    path = report.write(trained(bare), path=tmp_path / "page.html")
    assert "Maps" not in headings(path)


def test_the_recipe_of_the_paper(tissue, tmp_path):
    path = report.write(trained(tissue, "paper"), path=tmp_path / "page.html", n_maps=0)
    assert headings(path)[0] == "Which genes to trust"
    assert "is the CSS that the model predicts" in path.read_text()


def test_a_model_without_its_data(model, tmp_path):
    model.save(tmp_path / "model")
    bare = StImputeModel.load(tmp_path / "model", adata=False)
    assert headings(report.write(bare, path=tmp_path / "page.html")) == ["How it was made"]


def test_mistakes_are_named(model, tissue, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Nothing to report on"):
        report.write(path=tmp_path / "page.html")
    with pytest.raises(TypeError, match="at most one of each"):
        report.write(model, model, path=tmp_path / "page.html")
    with pytest.raises(TypeError, match="Found a dict"):
        report.write({}, path=tmp_path / "page.html")
    with pytest.raises(FileNotFoundError, match="Make the folder first"):
        report.write(model, path=tmp_path / "nowhere" / "page.html")
    spatial, reference = tissue.spatial.copy(), tissue.reference.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    untrained = StImputeModel(spatial, reference)
    with pytest.raises(RuntimeError, match=r"model\.train"):
        report.write(untrained, path=tmp_path / "page.html")
    true_import = builtins.__import__

    def without(name, *rest, **kwargs):
        if name == "jinja2":
            raise ImportError(name)
        return true_import(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"stimpute\[report\]"):
        report.write(model, path=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_figures_are_closed(model, tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    report.write(model, path=tmp_path / "page.html", n_maps=1)
    assert plt.get_fignums() == before


def test_an_imputed_result_without_reliability(tissue, tmp_path):
    imputed = ad.AnnData(np.ones((4, 2), np.float32))
    assert headings(report.write(imputed, path=tmp_path / "page.html")) == ["How it was made"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, "yes"),
        (np.bool_(False), "no"),
        (0.12345, "0.123"),
        (-0.5, "−0.500"),
        (np.nan, "–"),
        (12345, "12,345"),
        ("a", "a"),
    ],
)
def test_values_as_people_read_them(value, told):
    assert text(value) == told
