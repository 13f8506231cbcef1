"""The page without a browser; tests/explorer/test_browser.py looks at it in one."""

import numpy as np
import panel as pn
import pytest

from stimpute.explorer import _layout as layout
from stimpute.explorer import _maps
from stimpute.explorer._page import N_FOUND, Page

LEFT = {"type": "rect", "x0": -1e9, "y0": -1e9, "y1": 1e9}


@pytest.fixture
def page(explorer, monkeypatch):
    monkeypatch.setattr(_maps, "IMAGE_WIDTH", 60)
    return Page(explorer)


def image(page, i):
    return page._maps._maps[i]._source.data["image"][0]


def shown(genes):
    return [row["gene"] for row in genes.rows]


def titles(page):
    return [each._title.object for each in page._maps._maps if each.view.visible]


def test_the_first_gene_is_the_most_reliable_measured_one(page, measured):
    assert page.choice.gene == measured[0]
    assert measured[0] in page._heading.object
    assert len(titles(page)) == 3


def test_a_gene_is_searched_and_shown(page, unmeasured):
    wanted = unmeasured[2]
    before = image(page, 0)
    page._search.value_input = wanted.upper()
    assert shown(page._found)[0] == wanted
    page._enter()
    assert page.choice.gene == wanted
    assert "not measured" in page._heading.object
    assert len(titles(page)) == 2
    assert not np.array_equal(before, image(page, 0))
    assert page._csv.filename == f"{wanted}.csv"
    assert wanted not in shown(page._alike)


def test_a_search_without_result_says_so(page):
    page._search.value_input = "no gene"
    assert shown(page._found) == []
    assert "No gene" in page._n_found.object
    page._enter()
    page._search.value_input = ""
    assert len(page._found.rows) == min(N_FOUND, len(page.explorer.values.table))


def test_clicks_in_the_lists_choose_and_add_genes(page, unmeasured):
    page._alike._handle_msg({"gene": unmeasured[0], "how": "show"})
    page._found._handle_msg({"gene": unmeasured[1], "how": "add"})
    assert page.choice.genes == unmeasured[:2]
    assert page._found.current == unmeasured[:2]
    assert titles(page)[-1] == "<h3>both, imputed</h3>"
    assert page._about_alike.object == f"<h3>Predicted most like {unmeasured[0]}</h3>"
    assert page._about_distribution.object == f"<h3>Distribution of {unmeasured[0]} in this section</h3>"
    page.choose(unmeasured[1])
    assert page.choice.genes == [unmeasured[1]]
    page.add(unmeasured[1])
    assert page.choice.second is None


def test_another_section_and_labels(page, explorer):
    page._label.value = "cell_type"
    assert "cell_type" in titles(page)[-1]
    before = page._maps.ranges
    page._section.value = "B"
    assert page.section is explorer.tissue.sections[1]
    assert page._maps.ranges != before
    page._label.value = "none"
    assert len(titles(page)) == 3


def test_few_sections_are_tabs_and_many_are_a_list():
    assert isinstance(layout.tabs("Section", ["A", "B"]), pn.widgets.RadioButtonGroup)
    many = layout.tabs("Section", [f"slice {i}" for i in range(9)])
    assert isinstance(many, pn.widgets.Select)
    assert many.value == "slice 0"


def test_maps_and_chart_say_what_is_drawn(page, explorer):
    assert "log-normalized expression" in page._maps._maps[0]._legend.object
    assert page._distribution._figure.xaxis.axis_label == explorer.tissue.unit == "log-normalized expression"
    page._label.value = "explained"
    assert "log-normalized" not in page._maps._maps[3]._legend.object


def test_the_zoom_is_kept_when_the_gene_changes(page, unmeasured):
    page._maps._zoom(0.5)
    zoomed = page._maps.ranges
    page.choose(unmeasured[0])
    assert page._maps.ranges == zoomed
    page._maps.fit()
    (left, right), _ = page._maps.ranges
    assert right - left == pytest.approx(2 * (zoomed[0][1] - zoomed[0][0]))


def test_a_region_is_compared_and_cleared(page):
    page._select({**LEFT, "x1": float(np.median(page.section.coords[:, 0]))})
    assert page.region.sum() in (45, 46)
    assert "they are no test" in page._region._text.object
    assert page._region._genes.visible
    assert "in region" in page._make_csv().getvalue().splitlines()[0]
    page._clear_region()
    assert page.region is None
    assert not page._region._genes.visible


def test_an_empty_region_is_explained(page):
    page._select({**LEFT, "x1": -1e8})
    assert "0 cells are inside" in page._region._text.object
    assert page.region is None


def test_a_region_ends_with_its_section(page):
    page._select({**LEFT, "x1": float(np.median(page.section.coords[:, 0]))})
    page._section.value = "B"
    assert page.region is None


def test_a_cell_is_read_where_it_is_tapped(page):
    page._tap(*page.section.coords[4])
    assert str(page.explorer.tissue.names[page.section.cells[4]]) in page._cell.object


def test_an_error_is_shown_on_the_page(page):
    def fail():
        raise MemoryError("no <room>")

    with pytest.raises(MemoryError):
        page._report_errors(fail)
    assert "no &lt;room&gt;" in page._heading.object


def test_two_pages_do_not_share_their_choices(page, explorer, unmeasured):
    other = Page(explorer)
    page.choose(unmeasured[0])
    assert other.choice.gene != unmeasured[0]
