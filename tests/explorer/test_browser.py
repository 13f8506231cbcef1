"""The page in a real browser: a gene is typed and drawn, nothing is asked of other machines, no error is logged."""

import io
import logging
import time

import numpy as np
import pytest
from chromium import launch, needs_chromium

import stimpute

pytestmark = [pytest.mark.slow, needs_chromium, pytest.mark.timeout(300)]
PATIENCE = 30  # seconds

WIDE = pytest.mark.parametrize("screen", ["wide"], indirect=True)
SCREENS = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def served(sections):
    page = stimpute.explore(sections, progress=False)
    yield page
    page.close()


@pytest.fixture(scope="module")
def browser():
    with launch() as chromium:
        yield chromium


@pytest.fixture(params=sorted(SCREENS))
def screen(request):
    return request.param


@pytest.fixture
def tab(browser, served, screen, measured, caplog):
    """An open page on both screens; afterwards, neither the browser nor the server has logged an error."""
    is_phone = screen == "phone"
    context = browser.new_context(viewport=SCREENS[screen], is_mobile=is_phone, has_touch=is_phone)
    context.set_default_timeout(1000 * PATIENCE)
    tab = context.new_page()
    problems = []
    requested = []
    tab.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: requested.append(request.url))
    tab.goto(served.url)
    tab.get_by_role("heading", name=measured[0], level=2).wait_for()
    map_of(tab, 0).wait_for()
    yield tab
    context.close()
    assert problems == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
    local = (served.url, served.url.replace("http", "ws"), "data:", "blob:")
    assert [url for url in requested if not url.startswith(local)] == []


def map_of(tab, i):
    return tab.locator(".bk-Figure").nth(i)


def until(condition):
    """Wait until a condition holds, and return what it says."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def picture(tab, i):
    """A map as it is drawn, shape (height, width, 3)."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(map_of(tab, i).screenshot())).convert("RGB"), dtype=int)


def looks_like(first, second):
    """Tell whether two pictures are the same but for the edges of cells."""
    return first.shape == second.shape and np.abs(first - second).mean() < 2


def colors(tab, i):
    """The colors of a map."""
    return set(map(tuple, picture(tab, i).reshape(-1, 3)))


def colors_of_cells(tab, i):
    """The colors of a map when it shows cells; before, it is white."""
    return until(lambda: found if len(found := colors(tab, i)) > 20 else None)


def shown_gene(tab):
    """The gene that the page shows first."""
    return tab.get_by_role("heading", level=2).first.inner_text().split()[0]


def wait_for_heading(tab, gene):
    tab.get_by_role("heading", name=f"{gene} not measured").wait_for()


def type_gene(tab, gene):
    box = tab.get_by_label("Gene")
    box.fill("")
    box.press_sequentially(gene.lower())
    tab.get_by_role("button", name=gene, exact=True).first.wait_for()
    return box


def test_a_gene_is_typed_and_drawn(tab, screen, unmeasured):
    before = colors_of_cells(tab, 0)
    assert before
    type_gene(tab, unmeasured[1]).press("Enter")
    wait_for_heading(tab, unmeasured[1])
    tab.get_by_role("heading", name="imputed", exact=True).wait_for()
    assert until(lambda: colors(tab, 0) != before and colors_of_cells(tab, 0))
    assert tab.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen]["width"]
    assert map_of(tab, 0).bounding_box()["width"] > 200


@WIDE
def test_two_genes_sections_and_labels(tab, unmeasured):
    type_gene(tab, unmeasured[1])
    tab.get_by_title(f"Draw {unmeasured[1]} as the second gene").first.click()
    tab.get_by_role("heading", name="both, imputed").wait_for()
    tab.get_by_role("button", name="Show one gene only").click()
    tab.get_by_role("heading", name="both, imputed").wait_for(state="hidden")

    before = colors_of_cells(tab, 0)
    tab.get_by_role("button", name="B", exact=True).click()
    assert until(lambda: colors(tab, 0) != before)
    tab.get_by_label("Labels of cells").select_option("cell_type")
    tab.get_by_role("heading", name="cell_type").wait_for()


@WIDE
def test_a_lasso_compares_a_region(tab):
    map_of(tab, 0).scroll_into_view_if_needed()
    box = map_of(tab, 0).bounding_box()
    tab.get_by_role("button", name="Lasso").click()
    corners = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.8), (0.2, 0.8), (0.2, 0.2)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    tab.mouse.move(*points[0])
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*point, steps=5)
    tab.mouse.up()
    tab.get_by_text("cells inside").wait_for()
    tab.get_by_text("they are no test").wait_for()
    tab.get_by_role("button", name="Clear the region").click()
    tab.get_by_text("cells inside").wait_for(state="hidden")


@WIDE
def test_the_maps_zoom_together(tab):
    gene = shown_gene(tab)
    assert all(colors_of_cells(tab, i) for i in range(3))
    before = [picture(tab, i) for i in range(3)]
    tab.get_by_role("button", name="Zoom in").click()
    assert until(lambda: not any(looks_like(picture(tab, i), before[i]) for i in range(3)))
    assert shown_gene(tab) == gene
    tab.get_by_role("button", name="Whole section").click()
    assert until(lambda: all(looks_like(picture(tab, i), before[i]) for i in range(3)))


@WIDE
def test_values_and_pictures_are_downloaded(tab, measured):
    for button, ending in (("Values, CSV", ".csv"), ("Picture, PNG", ".png")):
        with tab.expect_download() as download:
            tab.get_by_text(button).click()
        assert download.value.suggested_filename == measured[0] + ending
        assert download.value.path().stat().st_size > 1000
