"""The command `stimpute explore`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from stimpute.cli import _options as opt
from stimpute.cli import _steps as steps
from stimpute.cli._console import Console
from stimpute.cli._files import check_inputs


def explore(
    model: Annotated[Path, typer.Argument(help="Folder of a saved model.", metavar="MODEL")],
    *,
    data: opt.SavedModelFiles,
    interval: Annotated[float, typer.Option("--interval", help="Share of values that an interval covers.")] = 0.9,
    port: Annotated[
        int | None, typer.Option("--port", help="Port of this machine; else a free one.", min=1, max=65535)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    console: Console,
) -> None:
    """Look at any gene on the tissue, in a browser on this machine. Ctrl-C ends it.

    Example: stimpute explore model --spatial osmfish.h5ad --reference mop.h5ad
    """
    check_inputs(model, *data.inputs.values())
    from stimpute.explorer._serve import explore as open_page
    from stimpute.explorer._serve import require_extra

    require_extra()
    trained = steps.load_model(model, data, opt.ModelOptions())
    console.print("Describing all genes and encoding all cells, once.")
    page = open_page(trained, interval=interval, port=port, show=browser, progress=console.progress)
    console.print(f"The page is at {page.url}. Press Ctrl-C to end it.")
    console.write_result({"url": page.url})
    with contextlib.suppress(KeyboardInterrupt):
        page.wait()
    page.close()
