"""Write the page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stimpute._arguments import check_arguments
from stimpute._atomic import replacing
from stimpute._messages import missing_extra
from stimpute.report import _accuracy, _cells, _genes, _groups, _maps, _methods, _reliability
from stimpute.report._methods import Origin
from stimpute.report._results import Results
from stimpute.tl import MODEL_NAME

if TYPE_CHECKING:
    from anndata import AnnData

    from stimpute.model import StImputeModel
    from stimpute.tl import CrossValidation, RelationAblation


def write(
    path: str | Path,
    *,
    model: StImputeModel | None = None,
    imputed: AnnData | None = None,
    validation: CrossValidation | None = None,
    ablation: RelationAblation | None = None,
    title: str = "Imputed spatial expression",
    n_maps: int = 4,
    inputs: Mapping[str, str | Path] | None = None,
    command: str | None = None,
) -> Path:
    """Write one HTML page about imputed expression and how reliable it is.

    Each result adds its sections. Figures and the script of the table of all genes are inside the page, which needs no
    network.

    Parameters
    ----------
    path
        The page, `.html`. An older one is replaced when the new one is complete.
    model
        A trained model. With both its datasets, unmeasured genes are imputed for the maps.
    imputed
        Result of :meth:`stimpute.StImputeModel.impute`.
    validation
        Result of :func:`stimpute.tl.cross_validate`.
    ablation
        Result of :func:`stimpute.tl.relation_ablation`.
    title
        Heading of the page.
    n_maps
        Number of maps of the most reliable genes, and of the least reliable ones.
    inputs
        Files that the results were made from, by names such as `"spatial"`, for the section on what made the page.
    command
        Command or script that made the page; that of the process if None, unless it is a notebook.

    Returns
    -------
    The path.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    ImportError
        If jinja2 is not installed.
    TypeError
        If a result is of another type.
    ValueError
        If there is no result, or the name of `path` is that of another kind of file.
    RuntimeError
        If the model is not trained.

    Examples
    --------
    >>> validation = stimpute.tl.cross_validate(spatial, reference, interval=0.9)
    >>> stimpute.report.write("report.html", model=model, validation=validation)
    """
    check_arguments(write, locals())
    results = Results(model, imputed, validation, ablation, n_maps)
    origin = Origin.of(command, inputs or {})
    template = load_template()
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"`path` is {path}; expected the name of a page, such as 'report.html'.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist. Make it first, or give another `path`.")
    sections = [
        _accuracy.accuracy(results),
        _groups.groups(results),
        _reliability.reliability(results),
        _cells.explained_cells(results),
        _genes.all_genes(results),
        _maps.maps(results),
        _reliability.intervals(results),
        _accuracy.ablation(results),
        _methods.data_summary(results),
        _methods.methods(results, origin),
    ]
    shown = [section for section in sections if section is not None]
    page = template.render(
        title=title,
        date=date.today().isoformat(),
        version=version("stimpute"),
        tiles=_tiles(results),
        sections=shown,
        scripts=[section.genes.script_hash for section in shown if section.genes is not None],
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def load_template() -> Any:
    """Load the template of the page.

    Raises
    ------
    ImportError
        If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise missing_extra("A report needs jinja2", "report") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("stimpute.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source)


def _tiles(results: Results) -> list[tuple[str, str]]:
    """Return the few most important numbers, each with its meaning."""
    tiles = []
    if results.validation is not None:
        pcc = results.validation.summary["pcc"]
        tiles.append((f"{pcc[MODEL_NAME]:.2f}", f"mean PCC of {len(results.held_out)} held-out genes"))
        best = results.validation.best_other
        if best is not None:
            tiles.append((f"{pcc[best]:.2f}", f"best other method, {best}"))
    unmeasured = results.unmeasured
    if len(unmeasured):
        n_high = int((unmeasured["reliability"] >= _reliability.HIGH).sum())
        meaning = f"of {len(unmeasured):,} unmeasured genes with reliability ≥ {_reliability.HIGH}"
        tiles.append((f"{n_high:,}", meaning))
    if results.model is not None:
        tiles.append((f"{len(results.model.shared_genes):,}", "shared genes"))
    return tiles
