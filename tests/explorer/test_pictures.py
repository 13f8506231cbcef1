import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stimpute.explorer._charts import histogram
from stimpute.explorer._colors import Blend, Gradient, Palette
from stimpute.explorer._export import _draw_legend, maps_png, to_csv, values_table
from stimpute.explorer._pictures import View, describe_cell, pictures


def test_a_measured_gene_has_three_maps_with_one_scale(explorer, measured):
    found, predicted, width = pictures(explorer, View(measured[0]))
    assert [found.title, predicted.title, width.title] == ["measured", "imputed", "width of the 90% interval"]
    assert found.colors == predicted.colors
    assert width.colors.cmap != found.colors.cmap
    values = explorer.values.gene(measured[0])
    np.testing.assert_array_equal(predicted.values[:, 0], values["X"])
    np.testing.assert_array_equal(width.values[:, 0], values["upper"] - values["lower"])


def test_color_scales_can_be_separate(explorer, measured):
    found, predicted, _ = pictures(explorer, View(measured[0], one_scale=False))
    assert found.colors.high != predicted.colors.high


def test_an_unmeasured_gene_has_no_empty_map(explorer, unmeasured):
    assert [picture.title for picture in pictures(explorer, View(unmeasured[0]))][0] == "imputed"


def test_two_genes_are_drawn_alone_and_together(explorer, measured, unmeasured):
    first, second, both = pictures(explorer, View(measured[0], unmeasured[0]))
    assert isinstance(both.colors, Blend)
    np.testing.assert_array_equal(both.values, np.hstack([first.values, second.values]))


def test_labels_are_drawn_with_the_palette_of_the_data(explorer, measured):
    label = pictures(explorer, View(measured[0], label="cell_type"))[-1]
    assert isinstance(label.colors, Palette)
    assert set(label.colors.colors) == {"#123456"}
    explained = pictures(explorer, View(measured[0], label="explained"))[-1]
    assert isinstance(explained.colors, Gradient)
    assert 0 <= explained.colors.low < explained.colors.high <= 1


def test_a_cell_is_described(explorer, measured, unmeasured):
    text = describe_cell(explorer, View(measured[0], unmeasured[0], "section"), 100)
    assert str(explorer.tissue.names[100]) in text
    assert f"measured {explorer.tissue.measured_values(measured[0])[100]:.2f}" in text
    assert f"{unmeasured[0]} imputed {explorer.values.gene(unmeasured[0])['X'][100]:.2f} (90%:" in text
    assert text.endswith("section: B")


def test_measured_and_imputed_values_are_correlated_where_both_are(explorer, measured, unmeasured):
    expected = np.corrcoef(explorer.tissue.measured_values(measured[0]), explorer.values.gene(measured[0])["X"])[0, 1]
    assert explorer.agreement(measured[0]) == pytest.approx(expected)
    assert explorer.agreement(unmeasured[0]) is None


def test_histograms_share_bins_and_sum_to_one(explorer, measured, unmeasured):
    cells = explorer.tissue.sections[0].cells
    found = histogram(explorer, measured[0], cells, np.arange(90) < 20)
    assert set(found.shares) == {"imputed", "measured", "imputed, region"}
    for shares in found.shares.values():
        assert shares.sum() == pytest.approx(1)
    assert set(histogram(explorer, unmeasured[0], cells).shares) == {"imputed"}


def test_exported_values_can_be_read_again(explorer, measured, unmeasured):
    region = np.arange(150) < 5
    view = View(measured[0], unmeasured[0], "cell_type")
    table = pd.read_csv(to_csv(values_table(explorer, view, region)), index_col=0)
    assert list(table.index) == list(explorer.tissue.names)
    np.testing.assert_allclose(table[f"{unmeasured[0]} imputed"], explorer.values.gene(unmeasured[0])["X"], rtol=1e-4)
    np.testing.assert_allclose(table[["x", "y"]], explorer.tissue.coords, rtol=1e-4)
    assert table["in region"].sum() == 5
    assert set(table["section"]) == {"A", "B"}
    assert {f"{measured[0]} measured", f"{measured[0]} lower", "cell_type"} <= set(table)
    assert f"{unmeasured[0]} measured" not in table


def test_exported_positions_and_numbers_are_whole(explorer, measured, monkeypatch):
    monkeypatch.setitem(explorer.tissue.labels, "number", pd.Series(np.arange(150) + 659_319))
    table = values_table(explorer, View(measured[0], None, "number"), None).assign(x=194_099.07)
    first = to_csv(table).read().splitlines()[1]
    assert ",194099.07," in first
    assert first.endswith(",659319")


def test_numbers_that_are_not_finite_do_not_color_the_others(explorer, measured, monkeypatch):
    monkeypatch.setitem(explorer.tissue.labels, "log", pd.Series([-np.inf, np.inf, np.nan, *range(147)]))
    picture = pictures(explorer, View(measured[0], None, "log"))[-1]
    assert 0 <= picture.colors.low < picture.colors.high <= 146
    assert np.isnan(picture.values[:3]).all()


def test_the_legend_of_a_png_says_how_many_it_leaves_out():
    _, ax = plt.subplots()
    _draw_legend(Palette([f"type {i}" for i in range(20)], ["#123456"] * 20), ax)
    assert [text.get_text() for text in ax.get_legend().texts][-2:] == ["type 11", "and 8 more"]
    plt.close("all")


def test_a_label_does_not_take_the_place_of_a_column(explorer, measured, monkeypatch):
    monkeypatch.setitem(explorer.tissue.labels, "x", pd.Series(range(150)))
    table = values_table(explorer, View(measured[0], None, "x"), None)
    np.testing.assert_allclose(table["x"], explorer.tissue.coords[:, 0])
    assert table["label x"].tolist() == list(range(150))


@pytest.mark.parametrize("second", [False, True])
def test_a_picture_is_a_png(explorer, measured, unmeasured, second):
    from PIL import Image

    maps = pictures(explorer, View(measured[0], unmeasured[0] if second else None, "cell_type"))
    section = explorer.tissue.sections[0]
    low, high = section.coords.min(0), section.coords.max(0)
    image = Image.open(maps_png(maps, section, "A $ title", ((low[0], high[0]), (low[1], high[1]))))
    assert image.width > image.height
    assert len(image.convert("RGB").getcolors(2**24)) > 50
