from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from stimpute import cli
from stimpute.datasets import synthetic_tissue
from stimpute.report import _page

FAST = ("--set", "n_steps=10", "--set", "n_metacells=30")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Folder with small spatial data, their reference, and protein embeddings."""
    folder = tmp_path_factory.mktemp("pair")
    tissue = synthetic_tissue(n_cells=120, n_reference=100, n_measured=16, n_unmeasured=5)
    tissue.spatial.write_h5ad(folder / "spatial.h5ad")
    tissue.reference.write_h5ad(folder / "reference.h5ad")
    names = np.array(tissue.proteins.obs_names, dtype=str)
    np.savez(folder / "proteins.npz", genes=names, embedding=tissue.proteins.X)
    return folder


@pytest.fixture
def data(folder):
    """Options that name the two datasets."""
    return ("--spatial", folder / "spatial.h5ad", "--reference", folder / "reference.h5ad")


@pytest.fixture
def fast():
    """Options that make training fast."""
    return FAST


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    """Draw few points, and write into an empty folder."""
    monkeypatch.setattr(_page, "DPI", 30)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run a command, and return its exit status and what it wrote to both streams."""

    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return SimpleNamespace(status=int(stop.value.code or 0), out=output.out, err=output.err)

    return call


@pytest.fixture
def read_page():
    """Parse a page into its headings, tags and the addresses that it would load."""
    return Page


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.sources = []
        self.tags = set()
        self.headings = []
        self._tag = ""
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self._tag = tag
        for key, value in attrs:
            if key in ("src", "srcset", "data") or (tag, key) == ("link", "href"):
                self.sources.append(value)

    def handle_data(self, data):
        if self._tag == "h2" and data.strip():
            self.headings.append(data.strip())
