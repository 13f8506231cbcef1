"""Sphinx configuration. Builds without a network; tutorials are executed beforehand, by tutorials/execute.py."""

import os
import shutil
from datetime import datetime
from importlib.metadata import metadata
from pathlib import Path

from sphinx.ext.napoleon import NumpyDocstring

HERE = Path(__file__).parent
TUTORIALS = HERE.parent / "tutorials"

info = metadata("stimpute")
project = info["Name"]
author = "stimpute developers"
copyright = f"{datetime.now():%Y}, {author}"
version = release = info["Version"]
repository_url = "https://github.com/stimpute/stimpute"

# Notebooks live at the top of the repository, where people look for them. Sphinx reads only below docs/.
shutil.rmtree(HERE / "tutorials", ignore_errors=True)
(HERE / "tutorials").mkdir()
shutil.copy(HERE / "_pages" / "tutorials.md", HERE / "tutorials" / "index.md")
for notebook in sorted(TUTORIALS.glob("*.ipynb")):
    shutil.copy(notebook, HERE / "tutorials")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb", ".myst": "myst-nb"}
exclude_patterns = ["_build", "_pages", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
root_doc = "index"
default_role = "literal"  # `x` in docstrings is code
nitpicky = True

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
myst_url_schemes = ("http", "https", "mailto")
nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "ref.citation",  # several docstrings cite the same paper, each for readers of that docstring alone
]

autosummary_generate = True
autodoc_member_order = "groupwise"
autodoc_typehints = "description"
typehints_defaults = "braces"
always_use_bars_union = True
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_param = True
bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Other projects' inventories are downloads. Only Read the Docs makes them; elsewhere their names stay plain text.
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
        "lightning": ("https://lightning.ai/docs/pytorch/stable/", None),
        "matplotlib": ("https://matplotlib.org/stable/", None),
        "mudata": ("https://mudata.readthedocs.io/stable/", None),
        "numpy": ("https://numpy.org/doc/stable/", None),
        "pandas": ("https://pandas.pydata.org/docs/", None),
        "python": ("https://docs.python.org/3/", None),
        "scipy": ("https://docs.scipy.org/doc/scipy/", None),
        "scvi": ("https://docs.scvi-tools.org/en/stable/", None),
        "torch": ("https://docs.pytorch.org/docs/stable/", None),
    }
# Short names in the first lines of docstrings, which summary tables show outside of their module.
nitpick_ignore = [("py:func", "pcc"), ("py:meth", "setup_mudata")]
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(anndata|lightning|squidpy|scanpy|matplotlib|mudata|numpy|np|pandas|pd|scipy|scvi|torch|torch_geometric|collections|typing|"
        r"pathlib|os|types|builtins|spatialdata|dask)(\..*)?",
    ),
    # Names of the standard library, which has no page without intersphinx.
    (
        r"py:.*",
        r"(str|int|float|bool|bytes|dict|list|tuple|set|frozenset|object|type|None|Any|Literal|Path|Callable|Mapping|"
        r"Sequence|Iterable|ArrayLike|Ellipsis|(\w+)Error|PathLike)",
    ),
    # Declared shapes of arrays, `Annotated[np.ndarray, Shape(...)]`, which Sphinx takes apart at commas and at "of".
    (
        r"py:class",
        r"(dimensions|index_of|about)=.*|'n_\w+'|each shared gene|cells (for each fold|with nothing held out)",
    ),
    # Private modules have no page: signatures of the public API mention their classes.
    (r"py:.*", r"stimpute\.(calibrate|data|model|module|recipes|train|tl|pp|pl|datasets)(\.\w+)*\._\w+(\.\w+)*"),
]

html_theme = "sphinx_book_theme"
html_title = "stimpute"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_theme_options = {
    "repository_url": repository_url,
    "repository_branch": "main",
    "path_to_docs": "docs",
    "use_repository_button": True,
    "use_issues_button": True,
    "show_toc_level": 2,
    "navbar_persistent": [],  # the search field is in the sidebar
}
html_show_sourcelink = False


def prose_returns(docstring: NumpyDocstring, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:
    """Read a section "Returns" as prose. Types are in signatures here, and Napoleon would take the text for one."""
    lines = docstring._dedent(docstring._consume_to_next_section())
    if lines[:1] == [":"]:  # sphinx_autodoc_typehints puts it there for the same purpose
        lines = lines[1:]
    return [("", "", lines)]


NumpyDocstring._consume_returns_section = prose_returns


def write_cli_help(app: object) -> None:
    """Write the help of all commands, for the page `cli`, as lists that fit any width."""
    import typer

    from stimpute.cli import app as commands

    folder = HERE / "generated"
    folder.mkdir(exist_ok=True)
    lines = []
    for name, command in typer.main.get_command(commands).commands.items():
        text, example = command.help.split("Example: ")
        lines += [f"## stimpute {name}", "", text.strip(), "", "```bash", example.strip(), "```", ""]
        panels = {}
        for option in command.params:
            panels.setdefault(option.rich_help_panel or "Command", []).append(option)
        for panel, options in panels.items():
            lines += [f"**{panel}**", ""]
            for option in options:
                lines += cli_option(option)
    (folder / "cli.inc").write_text("\n".join(lines))


def cli_option(option: object) -> list[str]:
    """Write one option of a command as an entry of a definition list."""
    names = ", ".join(f"`{name}`" for name in option.opts) if option.opts[0].startswith("-") else f"`{option.name}`"
    text = option.help
    if option.required:
        text += " Required."
    elif option.default not in (None, False, []):
        text += f" Default: `{option.default}`."
    return [names, f": {text}", ""]


def setup(app: object) -> None:
    """Connect the functions above to Sphinx, which calls this one."""
    app.connect("builder-inited", write_cli_help)
