import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stimpute.report import _page
from stimpute.report._methods import _format_setting
from stimpute.report._page import Table, format_value, make_figure, make_figures, separate_axes


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (np.bool_(False), "no"),
        (0.12345, "0.123"),
        (-0.5, "−0.500"),
        (np.nan, "–"),
        (None, "–"),
        (12345, "12,345"),
        ("a", "a"),
    ],
)
def test_values_are_formatted_for_humans(value, text):
    assert format_value(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["cell", "niche"], "cell, niche"),
        ([], "none"),
        (0.0003, "0.0003"),
        (np.nan, "–"),
        (None, "–"),
        (True, "yes"),
        (10, "10"),
    ],
)
def test_settings_keep_their_digits(value, text):
    assert _format_setting(value) == text


def test_a_table_of_a_data_frame():
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]}, index=["x", "y"])
    table = Table.from_frame(frame, "caption", "gene")
    assert table.header == ["gene", "a", "b"]
    assert table.rows == [["x", "1", "0.500"], ["y", "2", "–"]]


def test_figures_are_images_inside_the_page_and_are_closed(monkeypatch):
    monkeypatch.setattr(_page, "DPI", 30)
    before = plt.get_fignums()
    axes = separate_axes(2, 3)
    first, second = make_figures(axes, ["first", "second"])
    both = plt.subplots(1, 2)[1]
    assert make_figure(both, "both").width > 0
    assert first.source.startswith("data:image/png;base64,")
    assert (first.caption, second.caption) == ("first", "second")
    assert not first.is_wide
    assert first.height > 0
    assert plt.get_fignums() == before
