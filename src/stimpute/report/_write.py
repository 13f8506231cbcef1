"""Write the page."""

from __future__ import annotations

from datetime import date
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import anndata as ad

from stimpute.model import StImputeModel
from stimpute.report import _accuracy, _tissue
from stimpute.report._results import Results
from stimpute.tl import CrossValidation, GraphControl
from stimpute.tl._cross_validate import MODEL


def write(
    *results: StImputeModel | CrossValidation | GraphControl | ad.AnnData,
    path: str | Path,
    title: str = "Imputed spatial expression",
    n_maps: int = 3,
    interval: float = 0.9,
) -> Path:
    """Write one self-contained HTML page on what was imputed, and how far to trust it.

    Pictures are inside the page; it asks nothing of the network and runs no script.

    Parameters
    ----------
    results
        Any of these, in any order: a trained model, what its `impute` returned, and what
        :func:`stimpute.tl.cross_validate` and :func:`stimpute.tl.graph_control` returned. Each adds its sections.
    path
        The page, `.html`. An older one is replaced.
    title
        Heading of the page.
    n_maps
        Maps of the most reliable genes, and as many of the least.
    interval
        Probability that was given to :func:`stimpute.tl.cross_validate`.

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
        If a result is of another type, or two are of one.
    ValueError
        If there is nothing to report on.
    RuntimeError
        If the model is not trained.

    Examples
    --------
    >>> result = stimpute.tl.cross_validate(spatial, reference, interval=0.9)
    >>> stimpute.report.write(model, result, path="report.html")
    """
    template = load_template()
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent} does not exist. Make the folder first, or name another `path=`.")
    found = Results.sort(results, n_maps=n_maps, interval=interval)
    sections = [
        _accuracy.accuracy(found),
        _accuracy.reliability(found),
        _tissue.maps(found),
        _accuracy.intervals(found),
        _accuracy.control(found),
        _tissue.overlap(found),
        _tissue.parameters(found, _accuracy.history(found)),
    ]
    page = template.render(
        title=title,
        date=date.today().isoformat(),
        version=version("stimpute"),
        tiles=_tiles(found),
        sections=[section for section in sections if section is not None],
    )
    path.write_text(page, encoding="utf-8")
    return path


def load_template() -> Any:
    """The page's template.

    Raises
    ------
    ImportError
        If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ImportError("A report needs jinja2: `pip install 'stimpute[report]'`.") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("stimpute.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source)


def _tiles(found: Results) -> list[tuple[str, str]]:
    """The few numbers that matter most, and what they are."""
    tiles = []
    if found.validation is not None:
        summary = found.validation.summary["pcc"]
        tiles.append((f"{summary[MODEL]:.2f}", f"mean PCC of {len(found.held_out)} hidden genes"))
        others = summary.drop(MODEL)
        if len(others):
            tiles.append((f"{others.max():.2f}", f"best baseline, {others.idxmax()}"))
    if len(found.unmeasured):
        good = int((found.unmeasured["reliability"] >= _accuracy.GOOD).sum())
        tiles.append(
            (f"{good:,}", f"of {len(found.unmeasured):,} unmeasured genes with reliability ≥ {_accuracy.GOOD}")
        )
    if found.model is not None:
        tiles.append((f"{len(found.model.panel_):,}", "genes that both datasets have"))
    return tiles
