"""Serve the page on this machine."""

from __future__ import annotations

import socket
import threading
import webbrowser
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from stimpute._arguments import check_arguments
from stimpute._messages import check_count, check_type, missing_extra
from stimpute.model import StImputeModel

if TYPE_CHECKING:
    from stimpute.explorer._pictures import Explorer

HOST = "localhost"  # other machines cannot reach the page
TITLE = "stimpute explore"
HEIGHT = 900  # pixels, in a notebook


class ExplorerPage:
    """A page that is being served; in a notebook, it shows itself.

    Attributes
    ----------
    url
        Address of the page, on this machine only.
    """

    def __init__(self, server: Any, port: int, encode_ahead: Callable[..., None]) -> None:
        self._server = server
        self._is_closed = threading.Event()
        self._ahead = threading.Thread(target=encode_ahead, args=(self._is_closed,), daemon=True)
        self._ahead.start()
        self.url = f"http://{HOST}:{port}"

    def close(self) -> None:
        """Stop serving the page."""
        self._is_closed.set()
        self._ahead.join()
        self._server.stop()

    def wait(self) -> None:
        """Wait until the page is closed, or until the process is interrupted."""
        self._server.join()

    def __repr__(self) -> str:
        return f"ExplorerPage at {self.url}; `.close()` ends it"

    def _repr_html_(self) -> str:
        url = escape(self.url)
        frame = f'<iframe src="{url}" width="100%" height="{HEIGHT}" style="border: 0"></iframe>'
        return f'<a href="{url}" target="_blank">{url}</a>{frame}'


def explore(
    model: StImputeModel,
    *,
    interval: float | None = 0.9,
    port: int | None = None,
    show: bool = False,
    progress: bool = True,
) -> ExplorerPage:
    """Look at any gene of the reference on the tissue, in a browser.

    Nothing is imputed beforehand: a gene is predicted when it is chosen. Before the page is there, all genes are
    described once, to sort them by reliability, and all cells are encoded once.

    Parameters
    ----------
    model
        A trained model with its spatial data and its reference. The cells need positions.
    interval
        Share of the values that an interval should cover; its width is drawn. None for no intervals; ignored by recipes
        without them.
    port
        Port of this machine to serve at; a free one if None.
    show
        Whether to open the page in a browser. In a notebook, the returned object shows itself.
    progress
        Whether to draw progress bars.

    Returns
    -------
    The page, which is served in the background until it is closed or Python ends. Anyone who can open addresses of this
    machine can open it; other machines cannot.

    Raises
    ------
    ImportError
        If the packages of the extra `explore` are not installed.
    KeyError
        If the cells have no positions.
    RuntimeError
        If the model is not trained, or has no reference.
    OSError
        If the port is taken.

    Examples
    --------
    >>> page = stimpute.explore(model)
    >>> page
    >>> page.close()
    """
    check_arguments(explore, locals())
    check_type(StImputeModel, "Load one with `StImputeModel.load(path)`.", model=model)
    check_count(1, port=port)
    require_extra()
    chosen = find_port(port)
    from stimpute.explorer._pictures import Explorer

    explorer = Explorer.from_model(model, interval=interval, progress=progress)
    return serve(explorer, chosen, show=show)


def require_extra() -> None:
    """Check that the packages that the page needs are installed.

    Raises
    ------
    ImportError
        If one is missing; names it and the extra.
    """
    try:
        import bokeh  # noqa: F401
        import datashader  # noqa: F401
        import panel  # noqa: F401
    except ImportError as error:
        raise missing_extra(f"The explorer needs {error.name}", "explore") from error


def find_port(port: int | None) -> int:
    """Return the port if it is free, or a free one for None.

    Raises
    ------
    OSError
        If the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except (OSError, OverflowError) as error:
            raise OSError(f"Port {port} cannot be used: {error}. Name another `port=`, or none.") from error
        return int(probe.getsockname()[1])


def serve(explorer: Explorer, port: int, *, show: bool) -> ExplorerPage:
    """Serve the page in a thread of its own, one :class:`Page` for each browser window."""
    import panel as pn

    from stimpute.explorer._page import Page
    from stimpute.explorer._server import PageServer
    from stimpute.explorer._style import TEMPLATE

    def content() -> Any:
        template = pn.Template(TEMPLATE)
        template.add_panel("page", Page(explorer, pn.state.curdoc).view)
        return template

    Page(explorer)  # compiles what datashader needs, before anyone waits for it
    server = PageServer(content, HOST, port, TITLE)
    server.open()
    page = ExplorerPage(server, port, explorer.values.encode_folds)
    if show:
        webbrowser.open(page.url)
    return page
