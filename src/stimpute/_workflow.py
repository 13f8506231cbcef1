"""Steps that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from stimpute._files import read_text

if TYPE_CHECKING:
    import anndata as ad
    import pandas as pd

    from stimpute import StImputeModel
    from stimpute._terminal import Screen

LEVEL = 0.9  # of the intervals that a report checks


def check_request(recipe: str, interval: float | None = None, report: Path | None = None) -> None:
    """Refuse what would fail after training.

    Raises
    ------
    ImportError
        If a report is wanted and jinja2 is not installed.
    ValueError
        If the recipe is unknown, or the interval is no probability or not to be had.
    """
    from stimpute.recipes import RECIPES, OutputOptions

    if recipe not in RECIPES:
        raise ValueError(f"--recipe is {recipe!r}; expected one of {sorted(RECIPES)}.")
    RECIPES[recipe].check_output(OutputOptions(interval))
    if report is not None:
        from stimpute.report._write import load_template

        load_template()


def make_model(
    spatial: ad.AnnData, reference: ad.AnnData, recipe: str, setup: dict[str, Any], reference_expression: str
) -> StImputeModel:
    """An untrained model on two datasets that are set up here."""
    from stimpute import StImputeModel

    StImputeModel.setup_anndata(spatial, **setup)
    StImputeModel.setup_anndata(reference, expression=reference_expression)  # type: ignore[arg-type]
    return StImputeModel(spatial, reference, recipe=recipe)


def validation_options(
    recipe: str, folds: int, seed: int, setup: dict[str, Any], reference_expression: str, screen: Screen
) -> dict[str, Any]:
    """Arguments of `cross_validate` and `graph_control`."""
    return {
        **setup,
        "n_folds": folds,
        "seed": seed,
        "reference_setup": {"expression": reference_expression},
        "progress": screen.progress,
        "recipe": recipe,
    }


def interval_option(recipe: str) -> dict[str, Any]:
    """Intervals for a report, where the recipe has them."""
    from stimpute.recipes import RECIPES

    return {"interval": LEVEL} if RECIPES[recipe].calibrated else {}


def fetch_sequences(path: Path, organism: str, url: str | None, screen: Screen) -> pd.DataFrame:
    """Proteins of the genes that a file names, from UniProt; says which have none."""
    from stimpute import pp

    address: dict[str, Any] = {} if url is None else {"url": url}
    found = pp.fetch_proteins(read_text(path).split(), organism, progress=screen.progress, **address)
    lost = found[found["status"] != "found"]
    screen.say(f"{len(found) - len(lost)} of {len(found)} genes have a protein.")
    for status, part in lost.groupby("status"):
        screen.say(f"  {status}: {', '.join(map(str, part.get('gene', part.index)))}")
    return found


def write_report(path: Path | None, *results: Any, **options: Any) -> list[str]:
    """The page, if one is wanted; its name."""
    if path is None:
        return []
    import matplotlib as mpl

    from stimpute import report

    mpl.use("agg")
    report.write(*results, path=path, interval=LEVEL, **options)
    return [str(path)]
