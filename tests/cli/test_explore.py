import json
import sys
import urllib.request

import pytest

from stimpute.explorer import ExplorerPage

panel = pytest.importorskip("panel", reason="the extra `explore` is not installed")


@pytest.fixture
def saved(run, data, fast, tmp_path):
    assert run("impute", *data, *fast, "-o", "first.h5ad", "--save-model", "model", "-q").status == 0
    return tmp_path / "model"


@pytest.mark.slow
def test_a_saved_model_is_explored(run, data, saved, monkeypatch):
    pages = []

    def look(page):
        pages.append(urllib.request.urlopen(page.url, timeout=60).status)
        raise KeyboardInterrupt

    monkeypatch.setattr(ExplorerPage, "wait", look)
    result = run("explore", saved, *data, "--no-browser", "--json")
    assert result.status == 0
    assert pages == [200]
    assert json.loads(result.out)["url"].startswith("http://localhost:")


@pytest.mark.slow
def test_a_model_of_several_references_is_explored(run, data, fast, monkeypatch):
    both = (*data[:2], "--reference", f"a={data[3]}", "--reference", f"b={data[3]}")
    assert run("impute", *both, *fast, "-o", "first.h5ad", "--save-model", "model", "-q").status == 0
    monkeypatch.setattr(ExplorerPage, "wait", lambda page: None)
    assert run("explore", "model", *both, "--no-browser", "-q").status == 0
    assert "found a, c" in run("explore", "model", *both[:4], "--reference", f"c={data[3]}").err


def test_what_is_missing_is_named(run, data, saved, monkeypatch):
    assert "--reference FILE" in run("explore", saved, *data[:2]).err
    assert run("explore", "no_model", *data).status == 2
    monkeypatch.setitem(sys.modules, "panel", None)
    result = run("explore", saved, *data)
    assert (result.status, "[explore]" in result.err) == (2, True)


def test_help(run):
    text = " ".join(run("explore", "--help").out.split())
    assert "Example: stimpute explore" in text
    assert "--reference" in text
