import builtins
import os
import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute import StImputeModel, pp, report, tl
from stimpute.datasets import synthetic_tissue
from stimpute.report import _maps, _page
from stimpute.report._page import format_value

pytest.importorskip("jinja2")
RECIPES = {"crossfit": {"n_steps": 10, "n_metacells": 30}, "paper": {"n_neighbors": 10, "n_rounds": 1}}
TRAIN = {"max_epochs": 2, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def _coarse(monkeypatch):
    """Draw few points."""
    monkeypatch.setattr(_page, "DPI", 30)


@pytest.fixture(scope="module")
def tissue():
    tissue = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    tissue.reference.var_names = [name if i else "<Ab|c>" for i, name in enumerate(tissue.reference.var_names)]
    tissue.spatial.obs["section"] = np.where(np.arange(120) < 90, "a", "b")
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    return tissue


def trained(tissue, recipe="crossfit", **setup):
    spatial = tissue.spatial.copy()
    reference = tissue.reference.copy()
    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference)
    model = StImputeModel(spatial, reference, recipe=recipe, **RECIPES[recipe])
    model.train(enable_progress_bar=False, seed=0, **TRAIN)
    return model


@pytest.fixture(scope="module")
def model(tissue):
    return trained(tissue, batch_key="section")


def validate(tissue, interval=0.9, recipe="crossfit"):
    options = {"n_folds": 2, "progress": False, "train_kwargs": TRAIN, "interval": interval, "recipe": recipe}
    return tl.cross_validate(tissue.spatial, tissue.reference, **options, **RECIPES[recipe])


@pytest.fixture(scope="module")
def validation(tissue):
    return validate(tissue)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "page.html"


def headings(path):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", path.read_text())


def rows(path):
    """Rows of all tables of a page, by their first cell."""
    found = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', path.read_text())
    return {name: re.findall(r"<td>(.*?)</td>", cells) for name, cells in found}


# ------------------------------------------------------------ sections


def test_each_result_adds_its_sections(model, validation, path):
    report.write(path, model=model, n_maps=1)
    assert headings(path) == ["Reliability of genes", "Maps", "Genes and cells", "What made this page"]
    report.write(path, validation=validation, n_maps=1)
    assert headings(path)[:4] == ["Accuracy on held-out genes", "Reliability of genes", "Maps", "Intervals"]
    assert report.write(str(path), imputed=model.impute(progress=False), title="Mine", n_maps=1) == path
    assert headings(path) == ["Reliability of genes", "Maps", "What made this page"]
    assert "<h1>Mine</h1>" in path.read_text()
    assert not re.search(r"https?://", path.read_text())


def test_numbers_are_those_of_the_results(model, validation, path):
    report.write(path, model=model, validation=validation, n_maps=0)
    page = path.read_text()
    for method in ("kNN", "stimpute"):
        assert f'<th scope="row">{method}</th><td>{format_value(validation.summary.loc[method, "pcc"])}</td>' in page
    predicted = validation.predicted
    inside = (predicted.layers["lower"] <= predicted.X) & (predicted.layers["upper"] >= predicted.X)
    assert f"{inside.mean():.1%} of the held-out values lie inside their interval; 90% were asked for." in page
    assert f"The model uses {len(model.shared_genes)} genes" in page


def test_the_level_of_the_intervals_is_that_of_the_cross_validation(tissue, path):
    report.write(path, validation=validate(tissue, interval=0.5), n_maps=0)
    page = path.read_text()
    assert "50% were asked for" in page
    assert "90%" not in page


def test_a_cross_validation_without_intervals_has_no_such_section(tissue, path):
    report.write(path, validation=validate(tissue, interval=None), n_maps=0)
    assert "Intervals" not in headings(path)


def test_the_page_says_what_made_it(model, validation, path):
    report.write(path, model=model, validation=validation, n_maps=0)
    found = rows(path)
    assert found["recipe"] == ["crossfit", "crossfit"]
    assert found["n_steps"] == ["10", "10"]
    assert found["relations"] == ["coexpression, protein"] * 2
    assert found["folds"] == ["–", "2"]
    assert found["seed"] == ["0", "0"]
    assert found["interval"] == ["–", "0.9"]
    assert found["batch_key"] == ["section", "–"]
    assert found["stimpute"][0] == validation.settings.versions["stimpute"]
    assert "torch" in found
    assert "Python" in found


def test_names_are_escaped(model, path):
    report.write(path, model=model, title="<script>alert(1)</script>", n_maps=0)
    page = path.read_text()
    assert "&lt;Ab|c&gt;" in page or "<Ab|c>" not in page
    assert "<script" not in page


@pytest.fixture(scope="module")
def make_ablation(validation):
    """Make an ablation with a given difference in PCC of the relation, and of the permuted one."""

    def make(of_relation, of_permuted):
        rng = np.random.default_rng(0)
        values = {"without protein": 0.0, "protein": of_relation, "protein, permuted 1": of_permuted}
        genes = [f"g{i}" for i in range(9)]
        tables = []
        for name, value in values.items():
            tables.append(pd.DataFrame({"method": name, "gene": genes, "metric": "pcc", "value": value}))
        scores = pd.concat(tables, ignore_index=True)
        scores["value"] += 0.01 * rng.random(len(scores))
        return tl.RelationAblation("protein", scores, validation.settings)

    return make


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        ((0.1, 0.0), "improves the prediction on these data, and more than a permuted one"),
        ((0.1, 0.1), "not clearly more than the same relation with its genes permuted"),
        ((0.0, 0.0), "does not clearly improve the prediction"),
    ],
)
def test_the_ablation_has_a_verdict(make_ablation, gain, verdict, path):
    report.write(path, ablation=make_ablation(*gain))
    assert verdict in path.read_text()
    assert headings(path) == ["Effect of the gene relation", "What made this page"]
    assert rows(path)["folds"] == ["2"]


# ------------------------------------------------------------ maps


def test_a_result_of_measured_genes_has_maps(model, path):
    report.write(path, imputed=model.impute(genes=list(model.shared_genes[:3]), progress=False), n_maps=1)
    assert headings(path) == ["Maps", "What made this page"]


def test_data_without_positions_have_no_maps(path):
    bare = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    del bare.spatial.obsm["spatial"]
    report.write(path, model=trained(bare))
    assert "Maps" not in headings(path)
    assert "has protein" not in path.read_text()


def test_positions_may_have_another_key(path):
    moved = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    moved.spatial.obsm["xy"] = moved.spatial.obsm.pop("spatial")
    report.write(path, model=trained(moved, spatial_key="xy"), n_maps=1)
    assert "Maps" in headings(path)


@pytest.fixture
def drawn(monkeypatch):
    """Color limits and titles of all maps, by gene, before the figures are closed."""
    found = {}
    make_figure = _maps.make_figure

    def look(axes, caption):
        for ax in axes:
            gene = ax.get_title().split("\n")[0]
            found.setdefault(gene, []).append((ax.get_title(), ax.collections[0].norm.vmax, ax.collections[0]))
        return make_figure(axes, caption)

    monkeypatch.setattr(_maps, "make_figure", look)
    return found


def test_measured_and_imputed_maps_share_one_scale(validation, drawn, path):
    report.write(path, validation=validation, n_maps=2)
    assert len(drawn) == 4
    for maps in drawn.values():
        assert len(maps) == 2
        assert len({limit for _, limit, _ in maps}) == 1
        assert "reliability" in maps[1][0]


def test_a_gene_that_the_model_cannot_predict_is_not_drawn_brightest(model, drawn, path):
    imputed = model.impute(progress=False)
    worst = imputed.var["reliability"].idxmin()
    values = imputed.X.copy()
    values[:, imputed.var_names.get_loc(worst)] = imputed.var.loc[worst, "expected_mean"]
    imputed.X = values
    report.write(path, imputed=imputed, n_maps=2)
    title, limit, points = drawn[worst][0]
    assert "reliability" in title
    expected = imputed.var.loc[worst, "expected_mean"] + 2 * imputed.var.loc[worst, "expected_std"]
    assert limit >= expected
    assert points.norm(points.get_array()).max() < 0.9


# ------------------------------------------------------------ other recipes and incomplete models


def test_the_recipe_of_the_paper(tissue, path):
    report.write(path, model=trained(tissue, "paper"), validation=validate(tissue, None, "paper"), n_maps=1)
    assert headings(path)[1] == "Reliability of genes"
    page = path.read_text()
    assert "is the CSS that the model expects" in page
    assert "with the observed CSS" in page


def test_a_model_without_its_data(model, tmp_path, path):
    model.save(tmp_path / "model")
    bare = StImputeModel.load(tmp_path / "model", adata=False)
    report.write(path, model=bare)
    assert headings(path) == ["What made this page"]


def test_an_imputed_result_without_reliability(path):
    report.write(path, imputed=ad.AnnData(np.ones((4, 2), np.float32)))
    assert headings(path) == ["What made this page"]


def test_the_report_reads_no_private_attribute_of_the_model():
    for source in Path(report.__file__).parent.glob("*.py"):
        assert not re.search(r"model\._|\.state_|panel_", source.read_text()), source.name


# ------------------------------------------------------------ errors


def test_a_result_is_needed(path):
    with pytest.raises(ValueError, match="nothing to report on.*`model=`"):
        report.write(path)


@pytest.mark.parametrize("name", ["model", "imputed", "validation", "ablation"])
def test_a_wrong_type_names_the_argument(path, name):
    with pytest.raises(TypeError, match=f"`{name}` is a dict; expected a "):
        report.write(path, **{name: {}})


def test_errors_name_what_to_do_and_leave_no_page(model, tissue, path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="Make it first"):
        report.write(path.parent / "nowhere" / "page.html", model=model)
    spatial = tissue.spatial.copy()
    reference = tissue.reference.copy()
    StImputeModel.setup_anndata(spatial)
    StImputeModel.setup_anndata(reference)
    with pytest.raises(RuntimeError, match=r"model\.train"):
        report.write(path, model=StImputeModel(spatial, reference))
    true_import = builtins.__import__

    def without_jinja2(name, *rest, **kwargs):
        if name == "jinja2":
            raise ImportError(name)
        return true_import(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_jinja2)
    with pytest.raises(ImportError, match=r"pip install '\.\[report\]'"):
        report.write(path, model=model)
    assert not path.exists()


def test_an_older_page_survives_an_error(model, path, monkeypatch):
    path.write_text("older")

    def fail(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        report.write(path, model=model, n_maps=0)
    assert path.read_text() == "older"
    assert [file.name for file in path.parent.iterdir()] == ["page.html"]


def test_figures_are_closed(model, path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    report.write(path, model=model, n_maps=1)
    assert plt.get_fignums() == before
