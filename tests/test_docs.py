"""The README, the pages and the notebooks keep their promises."""

import importlib
import os
import re
import tomllib
from pathlib import Path

import pytest

from stimpute.data._result import how_to_cite

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "tutorials").glob("*.ipynb"))
pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="runs in the repository, not from the sdist")


def read(path):
    nbformat = pytest.importorskip("nbformat")
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def test_readme_has_two_commands():
    text = (ROOT / "README.md").read_text()
    commands = dict(re.findall(r"<!-- (\w+) -->\n```bash\n(.+)\n```", text))
    assert set(commands) == {"demo", "test"}
    assert text.count("```bash") == 2
    assert commands["demo"].endswith("stimpute demo")
    assert "pytest" in commands["test"].split("&&")[-1]


def test_citation_and_environment_are_of_this_package():
    yaml = pytest.importorskip("yaml")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format requires
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"]
    assert citation["references"][0]["doi"] in how_to_cite()
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    constraints, package = environment["dependencies"][-1]["pip"]
    assert (ROOT / constraints.removeprefix("-c ")).is_file()
    extras = re.fullmatch(r"-e \.\[(.+)\]", package).group(1).split(",")
    assert set(extras) <= set(project["optional-dependencies"])


CONDA_NAMES = {
    "dask[array]": "dask-core",
    "igraph": "python-igraph",
    "matplotlib": "matplotlib-base",
    "torch": "pytorch",
    "torch-geometric": "pytorch_geometric",
}


def rendered_conda_recipe():
    """The recipe with the values of its context in place of their names, as rattler-build renders it."""
    yaml = pytest.importorskip("yaml")
    jinja2 = pytest.importorskip("jinja2")
    text = (ROOT / ".github" / "conda" / "recipe.yaml").read_text()
    templates = jinja2.Environment(variable_start_string="${{", undefined=jinja2.StrictUndefined, autoescape=True)
    return yaml.safe_load(templates.from_string(text).render(yaml.safe_load(text)["context"], PYTHON="python"))


def test_the_conda_recipe_renders():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    recipe = rendered_conda_recipe()
    assert recipe["schema_version"] == 1
    assert set(recipe) <= {
        "schema_version",
        "context",
        "package",
        "source",
        "build",
        "requirements",
        "tests",
        "about",
        "extra",
    }
    assert recipe["package"] == {"name": "stimpute", "version": version}
    assert recipe["source"]["url"].endswith(f"/stimpute-{version}.tar.gz")
    assert recipe["build"]["script"].startswith("python -m pip install .")
    assert (ROOT / recipe["about"]["license_file"]).is_file()
    for test in recipe["tests"]:
        for module in test.get("python", {}).get("imports", []):
            importlib.import_module(module)


def test_the_conda_recipe_asks_for_what_the_package_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    recipe = rendered_conda_recipe()
    assert recipe["context"]["version"] == project["version"]
    assert f">={recipe['context']['python_min']}" == project["requires-python"]
    expected = []
    for requirement in project["dependencies"]:
        name, versions = re.fullmatch(r"([^<>=]+)(.*)", requirement).groups()
        expected.append(f"{CONDA_NAMES.get(name, name)} {versions}")
    assert recipe["requirements"]["run"][1:] == expected
    assert recipe["about"]["summary"] == project["description"]
    assert recipe["about"]["license"] == project["license"]
    entries = [f"{name} = {target}" for name, target in project["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == entries


def test_nothing_tells_to_install_what_is_not_published():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.py"), *NOTEBOOKS]
    for page in pages:
        if "_build" not in page.parts:
            assert not re.search(r"pip install ['\"]?stimpute", page.read_text()), page


def test_pictures_and_badges_of_the_readme_are_there():
    """Badges are plain pictures until there are a package index and a website to ask."""
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert pictures
    for picture in pictures:
        assert picture.startswith("https://img.shields.io/badge/") or (ROOT / picture).is_file(), picture


@pytest.mark.parametrize("module_name", ["pp", "tl", "tl.metrics", "pl", "datasets", "share", "report"])
def test_api_page_lists_every_public_name(module_name):
    listed = set(re.findall(r"^   ([\w.]+)$", (ROOT / "docs" / "api.md").read_text(), flags=re.MULTILINE))
    module = importlib.import_module(f"stimpute.{module_name}")
    public = {f"{module_name}.{name}" for name in module.__all__ if not (module_name == "tl" and name == "metrics")}
    assert {name for name in listed if name.rpartition(".")[0] == module_name} == public


def test_links_of_pages_lead_somewhere():
    made = {"tutorials/index.md", *(f"tutorials/{path.name}" for path in NOTEBOOKS)}  # copied by docs/conf.py
    for page in (ROOT / "docs").rglob("*.md"):
        if {"_build", "_pages", "generated", "tutorials"} & set(page.relative_to(ROOT / "docs").parts):
            continue
        for target in re.findall(r"\]\(([^)#:]+\.(?:md|ipynb))[^)]*\)", page.read_text()):
            path = (page.parent / target).resolve()
            relative = path.relative_to(ROOT / "docs").as_posix()
            assert path.exists() or relative in made, f"{page.name} links to {target}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_executed_small_and_tells_nothing_of_the_machine(path):
    assert path.stat().st_size < 1.5e6
    cells = code_cells(path)
    assert all(cell.execution_count for cell in cells)
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr"
        text = str(output.get("text", "")) + str({k: v for k, v in output.get("data", {}).items() if "image" not in k})
        assert not re.search(r"/(?:home|tmp|work|root|Users)/", text)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    if not Path(os.environ.get("STIMPUTE_DATA", "/missing")).is_dir():
        pytest.skip("STIMPUTE_DATA names no folder")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("MPLBACKEND", "agg")
    # By default a kernel must be there within a minute, which a busy machine does not keep.
    client = nbclient.NotebookClient(read(path), timeout=1800, startup_timeout=600, kernel_name="python3")
    client.execute(cwd=str(tmp_path))
