"""Serve a page of Panel in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.server.server import Server
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.web import ErrorHandler

HOSTS = {"localhost", "127.0.0.1", "[::1]", "::1"}  # names of this machine


class PageServer(threading.Thread):
    """A thread that serves a page until it is stopped, or until Python ends.

    Parameters
    ----------
    page
        Makes the content of a browser window.
    host
        Name of this machine at which the page can be reached.
    port
        Port of this machine.
    title
        Title of the browser window.
    """

    def __init__(self, page: Callable[[], Any], host: str, port: int, title: str) -> None:
        super().__init__(daemon=True)
        self._page = page
        self._host = host
        self._port = port
        self._title = title
        self._is_ready = threading.Event()
        self._loop: IOLoop | None = None
        self._error: Exception | None = None

    def open(self) -> None:
        """Start, and wait until the page can be opened.

        Raises
        ------
        OSError
            If the port is taken.
        """
        self.start()
        self._is_ready.wait()
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        """Serve the page; called by the thread."""
        asyncio.set_event_loop(asyncio.new_event_loop())
        loop = IOLoop.current()
        try:
            server = pn.io.server.get_server(
                self._page,
                port=self._port,
                address=self._host,
                websocket_origin=[f"{self._host}:{self._port}", f"127.0.0.1:{self._port}"],
                loop=loop,
                title=self._title,
            )
            _refuse_other_hosts(server)
            server.start()
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
            self._is_ready.set()
            return
        self._loop = loop
        self._is_ready.set()
        loop.start()
        _release(server)
        loop.close()
        del self._page  # and with it the values of genes

    def stop(self) -> None:
        """Stop serving, and wait until the thread has ended."""
        if self._loop is not None and self.is_alive():
            self._loop.add_callback(self._loop.stop)
            self.join()


def _refuse_other_hosts(server: Server) -> None:
    """Refuse requests that call this machine by another name.

    A website can give its own name the address of this machine, and would then be the same origin as the page.
    """
    application = server._tornado
    find_handler = application.find_handler

    def checked(request: HTTPServerRequest, **options: Any) -> Any:
        if request.host_name.lower() not in HOSTS:
            return application.get_handler_delegate(request, ErrorHandler, {"status_code": 403})
        return find_handler(request, **options)

    application.find_handler = checked  # type: ignore[method-assign]


def _release(server: Server) -> None:
    """Stop a server, and let go of its sessions and of its page, which Panel would keep."""
    for session in server.get_sessions():
        session.destroy()
    server.stop()
    for identity, (known, *_) in list(pn.state._servers.items()):
        if known is server:
            del pn.state._servers[identity]
    pn.state._server_config.pop(server._tornado, None)
