import numpy as np
import pytest
from small import bare, fit, set_up, small_pair

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


def test_cells_without_positions_cannot_be_drawn():
    spatial, reference = small_pair(proteins=False)
    del spatial.obsm["spatial"]
    model = fit(*set_up(spatial, reference, spatial_key=None), "crossfit")
    with pytest.raises(KeyError, match="spatial_key"):
        Tissue.from_model(model)
