"""Every line of the pages that promise it is executed: Python in one session, commands by the command line."""

import json
import re
import shlex
import tomllib
import warnings
from importlib.util import find_spec
from pathlib import Path

import anndata as ad
import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import platform_folders as folders
import pytest

from stimpute import StImputeModel, cli, datasets
from stimpute.datasets import _pairs
from stimpute.report import _page

ROOT = Path(__file__).parents[1]
SIZES = {"n_cells": 100, "n_reference": 100, "n_measured": 16, "n_unmeasured": 6}
GENES = {"Rorb", "Cux2"}  # that the pages of the platforms ask for
pytestmark = [
    pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="runs in the repository, not from the sdist"),
    pytest.mark.slow,
]


@pytest.fixture(autouse=True)
def _fast(monkeypatch, tmp_path):
    """Train briefly, and write into an empty folder."""
    train = StImputeModel.train
    monkeypatch.setattr(StImputeModel, "train", lambda self, **given: train(self, **given | {"max_epochs": 2}))
    monkeypatch.chdir(tmp_path)
    yield
    plt.close("all")


@pytest.fixture
def small_tissue(monkeypatch):
    """Simulate a few cells, whatever the page asks for."""
    simulate = datasets.synthetic_tissue
    monkeypatch.setattr(datasets, "synthetic_tissue", lambda **given: simulate(**SIZES, seed=given.get("seed", 0)))
    monkeypatch.setattr(_page, "DPI", 30)


def blocks(page):
    """The language and the text of each block of code."""
    return re.findall(r"^```(python|bash)\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


def check_installation(line):
    """The line installs this checkout, with extras that exist, in versions that are listed."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    constraints, extras = re.fullmatch(
        r'python3 -m venv \.venv && \.venv/bin/pip install -c (\S+) "\.\[(.+)\]"', line
    ).groups()
    assert (ROOT / constraints).is_file()
    assert set(extras.split(",")) <= set(options)


def run_command(line, capsys):
    name, *arguments = shlex.split(line)
    if name == "stimpute":
        with pytest.raises(SystemExit) as stop:
            cli.main(arguments)
        assert not stop.value.code, capsys.readouterr().err
    elif line != "source .venv/bin/activate":
        check_installation(line)


def execute(sources):
    names = {}
    for source in sources:
        exec(compile(source, "page", "exec"), names)
    return names


def run_page(page, capsys):
    names = {}
    for language, text in blocks(page):
        if language == "bash":
            for line in text.strip().splitlines():
                run_command(line, capsys)
        else:
            exec(compile(text, page, "exec"), names)
    return names


@pytest.mark.slow
def test_first_hour(small_tissue, capsys, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*have no count of any gene")  # few genes, of which folds hold out more
        names = run_page("first_hour.md", capsys)
    assert names["imputed"].n_vars == SIZES["n_unmeasured"]
    assert names["imputed"].uns["stimpute"]["cite"] in capsys.readouterr().out.splitlines()
    made = {path.name for path in tmp_path.iterdir()}
    assert made >= {"genes.png", "imputed.h5ad", "model", "for_others", "report.html", "accuracy.csv", "page.html"}
    np.testing.assert_allclose(names["shared"].impute(progress=False).X, names["imputed"].X, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("number", [1, 2, 3, 6])
def test_tutorial_runs_without_the_data(number, tmp_path, monkeypatch):
    """A stranger who has no data gets a simulated tissue with the names that the tutorial uses."""

    def offline(url):
        raise OSError("no network")

    nbformat = pytest.importorskip("nbformat")
    if number == 6:
        pytest.importorskip("spatialdata_plot")
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    monkeypatch.setattr(_pairs, "_download", offline)
    (path,) = (ROOT / "tutorials").glob(f"{number}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    with pytest.warns(UserWarning, match="A simulated tissue takes the place"):
        names = execute([cell.source for cell in cells if cell.cell_type == "code"])
    assert names["model"].is_trained


@pytest.fixture
def folders_of_platforms(small_tissue, tmp_path):
    """The folders that the page names, with the same cells."""
    tissue = datasets.synthetic_tissue()
    spatial, reference = tissue.spatial, tissue.reference
    unmeasured = [name for name in reference.var_names if name not in spatial.var_names]
    new_names = dict(zip(unmeasured, sorted(GENES), strict=False))
    reference.var_names = [new_names.get(name, name) for name in reference.var_names]
    folders.write_10x_h5(tmp_path / "filtered_feature_bc_matrix.h5", reference)
    folders.write_xenium(tmp_path / "output-XETG00000__0001__Region_1", spatial)
    for folder in ("202401010000_brain/region_0", "region_0", "region_1"):
        folders.write_merscope(tmp_path / folder, spatial)
    folders.write_cosmx(tmp_path / "Run1_flatFiles", spatial)
    folders.write_seqfish(tmp_path / "seqfish_output", spatial)
    published = tmp_path / "sourcedata"
    published.mkdir()
    spatial.to_df().astype(int).to_csv(published / "cortex_svz_counts.csv", index=False)
    x, y = spatial.obsm["spatial"].T
    numbers = np.arange(spatial.n_obs)
    cells = {"Field of View": numbers % 2, "Cell ID": numbers // 2, "X": x, "Y": y, "Region": "Cortex"}
    pd.DataFrame(cells).to_csv(published / "cortex_svz_cellcentroids.csv", index=False)


def test_overview_of_platforms(folders_of_platforms, capsys, tmp_path):
    sections = run_page("platforms.md", capsys)["spatial"].obs["section"]
    assert sections.value_counts().to_dict() == {"section 1": SIZES["n_cells"], "section 2": SIZES["n_cells"]}
    assert {path.stem for path in (tmp_path / "plots").glob("*.png")} == GENES
    assert set(ad.read_h5ad(tmp_path / "imputed.h5ad").var_names) == GENES


@pytest.mark.parametrize("platform", sorted(path.stem for path in (ROOT / "docs" / "platforms").glob("*.md")))
def test_ten_lines_from_the_folder_of_a_platform_to_a_picture(folders_of_platforms, capsys, tmp_path, platform):
    if platform == "xenium":
        pytest.importorskip("spatialdata_io")
    _, first = blocks(f"platforms/{platform}.md")[0]
    assert len(first.replace("\n\n", "\n").splitlines()) == 10
    run_page(f"platforms/{platform}.md", capsys)
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn - {"plus"} == {platform}
    assert ("plus" in drawn) == (platform == "seqfish")


# ------------------------------------------------------------ other viewers


@pytest.fixture
def executed(small_tissue, monkeypatch):
    """Names after the page on other viewers, whose blocks are executed as far as their packages are installed."""
    if find_spec("napari_spatialdata"):
        monkeypatch.setattr("napari_spatialdata.Interactive.run", lambda self: None)  # it waits for a person
    names = {}
    for _, text in blocks("user_guide/viewers.md"):
        packages = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
        if all(map(find_spec, packages)):
            exec(compile(text, "viewers", "exec"), names)
    return names


def test_other_viewers(executed, tmp_path):
    pytest.importorskip("spatialdata")
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"imputed.zarr", "imputed.h5ad", "section.h5ad", "section.zarr"}
    tables = executed["sdata"].tables
    assert list(tables["imputed"].var_names) == list(executed["imputed"].var_names)
    assert list(tables["imputed"].obs["spatialdata_instance"]) == list(tables["table"].obs_names)


def test_a_store_has_the_layout_that_vitessce_reads(executed, tmp_path):
    """Version 2 of zarr, consolidated; names of cells and genes in `_index`, categories in a group of their own."""
    metadata = json.loads((tmp_path / "imputed.zarr" / ".zmetadata").read_text())["metadata"]
    n_cells = SIZES["n_cells"]
    for path in ("X", "layers/lower", "layers/upper"):
        assert metadata[f"{path}/.zarray"]["shape"] == [n_cells, SIZES["n_unmeasured"]]
        assert metadata[f"{path}/.zarray"]["dtype"] == "<f4"
        assert metadata[f"{path}/.zattrs"]["encoding-type"] == "array"
    assert metadata["obsm/spatial/.zarray"]["shape"] == [n_cells, 2]
    for table in ("obs", "var"):
        assert metadata[f"{table}/.zattrs"]["_index"] == "_index"
        assert f"{table}/_index/.zarray" in metadata
    assert metadata["obs/cell_type/.zattrs"]["encoding-type"] == "categorical"
    assert {"obs/cell_type/codes/.zarray", "obs/cell_type/categories/.zarray"} <= set(metadata)


@pytest.mark.parametrize("name", ["imputed.h5ad", "section.h5ad"])
def test_a_file_has_the_layout_that_tissuumaps_reads(executed, tmp_path, name):
    """Dense values, positions in one array, names of genes as bytes, categories in a group."""
    with h5py.File(tmp_path / name) as file:
        assert file["X"].attrs["encoding-type"] == "array"
        assert file["obsm/spatial"].shape == (SIZES["n_cells"], 2)
        names = [name.decode() for name in file["var"][file["var"].attrs["_index"]]]
        assert set(executed["imputed"].var_names) <= set(names)
        assert "categories" in file["obs/cell_type"]
        assert all(isinstance(column, h5py.Dataset) or "categories" in column for column in file["obs"].values())
