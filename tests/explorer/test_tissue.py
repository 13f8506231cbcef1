import anndata
import numpy as np
import pandas as pd
import pytest
from small import bare, fit, set_up, small_pair

from stimpute import StImputeModel
from stimpute.explorer import _tissue
from stimpute.explorer._tissue import Tissue
from stimpute.pp import measured_expression


def test_sections_and_positions(explorer, sections):
    tissue = explorer.tissue
    assert [section.name for section in tissue.sections] == ["A", "B"]
    second = tissue.sections[1]
    assert list(second.cells) == list(range(90, 150))
    np.testing.assert_allclose(second.coords * [1, -1], sections.adata.obsm["spatial"][90:])
    x, y = second.coords[7]
    assert second.nearest(x, y) == 97
    assert 0 < second.spacing < np.ptp(second.coords)


def test_measured_values_are_log_normalized(explorer, sections, measured, unmeasured):
    expected = measured_expression(bare(sections.adata))[:, measured[0]].X.toarray().ravel()
    np.testing.assert_allclose(explorer.tissue.measured_values(measured[0]), expected, rtol=1e-6)
    assert explorer.tissue.measured_values(unmeasured[0]) is None


def test_explained_is_the_first_label_and_internal_columns_are_left_out(explorer):
    labels = explorer.tissue.labels
    assert next(iter(labels)) == "explained"
    assert {"cell_type", "section"} <= set(labels)
    assert not any(name.startswith("_scvi") for name in labels)


def test_columns_of_names_and_constant_columns_are_no_labels(fresh, monkeypatch):
    monkeypatch.setattr(_tissue, "MAX_LABELS", 20)
    spatial, _ = fresh
    spatial.obs["name"] = [f"cell {i}" for i in range(spatial.n_obs)]
    spatial.obs["constant"] = "a"
    assert {"name", "constant"}.isdisjoint(_tissue.drawable_labels(spatial))


def test_colors_may_be_given_by_category_and_what_is_no_list_of_colors_is_left_out(fresh):
    spatial, _ = fresh
    kinds = pd.Series(pd.Categorical(np.where(np.arange(spatial.n_obs) < 9, "x", "y")), index=spatial.obs_names)
    spatial.obs["kind"] = kinds
    for given, expected in (({"y": "blue", "x": "red"}, ["red", "blue"]), ({"x": "red"}, []), (3, []), ("red", [])):
        spatial.uns["kind_colors"] = given
        assert _tissue._palette(spatial, "kind", kinds) == expected
    spatial.obs["number"] = 1
    spatial.uns["number_colors"] = 3
    assert _tissue._palette(spatial, "number", spatial.obs["number"]) == []


def test_cells_without_positions_cannot_be_drawn():
    spatial, reference = small_pair(proteins=False)
    del spatial.obsm["spatial"]
    model = fit(*set_up(spatial, reference, spatial_key=None), "crossfit")
    with pytest.raises(KeyError, match="spatial_key"):
        Tissue.from_model(model)


def test_measured_values_of_another_section_are_on_the_scale_of_the_imputed_ones(sections, tmp_path):
    sections.save(tmp_path / "model")
    deeper = bare(sections.adata)
    deeper.X = deeper.X * 4
    model = StImputeModel.load(tmp_path / "model", adata=deeper, reference=sections.reference)
    gene = model.shared_genes[0]
    scale = {"target_sum": model.training_record["target_sum"], "input_genes": model.input_genes}
    expected = measured_expression(deeper, **scale)[:, gene].X.toarray().ravel()
    np.testing.assert_allclose(Tissue.from_model(model).measured_values(gene), expected, rtol=1e-6)


def test_positions_that_are_not_finite_are_told_before_anything_is_computed():
    spatial, reference = small_pair(proteins=False)
    spatial.obsm["spatial"][3, 0] = np.nan
    model = fit(*set_up(spatial, reference, spatial_key=None), "crossfit")
    with pytest.raises(ValueError, match=r"has 1 cell\(s\) without a finite position"):
        Tissue.from_model(model)


def test_only_categories_that_are_there_are_drawn_in_the_given_colors(fresh, tmp_path):
    spatial, reference = fresh
    types = [f"a{i}" for i in range(30)] + ["x", "y"]
    spatial.obs["kind"] = pd.Categorical(np.where(np.arange(spatial.n_obs) < 9, "x", "y"), categories=types)
    colors = [f"#0000{i:02x}" for i in range(32)]
    spatial.uns["kind_colors"] = colors
    spatial.obs["domain"] = pd.Categorical(np.where(np.arange(spatial.n_obs) < 9, "x", "y"))
    spatial.uns["domain_colors"] = ["#111111", "#222222"]
    spatial.uns["cell_type_colors"] = ["no color"] * spatial.obs["cell_type"].nunique()
    model = fit(*set_up(spatial, reference), "crossfit")
    tissue = Tissue.from_model(model)
    assert list(tissue.labels["kind"].cat.categories) == ["x", "y"]
    assert tissue.palettes["kind"] == colors[30:]
    assert tissue.palettes["cell_type"] == []
    spatial.write_h5ad(tmp_path / "spatial.h5ad")
    lazy = anndata.experimental.read_lazy(tmp_path / "spatial.h5ad")
    assert _tissue._palette(lazy, "domain", spatial.obs["domain"].astype("category")) == ["#111111", "#222222"]
