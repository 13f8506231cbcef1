import socket

import panel as pn
import pytest

from stimpute.explorer._serve import HOST
from stimpute.explorer._server import PageServer


def test_a_port_that_is_taken_raises_in_the_caller_and_stopping_is_harmless():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        server = PageServer(lambda: pn.pane.Markdown("page"), HOST, taken.getsockname()[1], "title")
        with pytest.raises(OSError, match="[Aa]ddress already in use"):
            server.open()
    server.stop()
    server.join(timeout=60)
    assert not server.is_alive()
