import gc
import http.client
import socket
import subprocess
import sys
import threading
import urllib.request
import weakref

import pytest

import stimpute
from stimpute import StImputeModel
from stimpute.explorer._pictures import Explorer
from stimpute.explorer._serve import HOST, find_port
from stimpute.explorer._values import GeneValues


def test_a_page_is_served_on_this_machine_until_it_is_closed(sections):
    page = stimpute.explore(sections, progress=False)
    text = urllib.request.urlopen(page.url, timeout=60).read().decode()
    assert "stimpute explore" in text
    assert "cdn." not in text
    assert "https://" not in text
    assert f'src="{page.url}"' in page._repr_html_()
    assert page.url in repr(page)
    page.close()
    page.wait()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(page.url, timeout=60)


def test_a_website_that_takes_the_address_of_this_machine_is_refused(sections):
    page = stimpute.explore(sections, progress=False)
    port = page.url.rsplit(":", 1)[1]
    for host, status in {f"localhost:{port}": 200, "127.0.0.1:9": 200, f"evil.example:{port}": 403}.items():
        connection = http.client.HTTPConnection(HOST, int(port), timeout=60)
        connection.request("GET", "/", headers={"Host": host})
        assert connection.getresponse().status == status, host
        connection.close()
    page.close()


def test_a_closed_page_lets_go_of_the_values(sections, monkeypatch):
    known = []
    from_model = Explorer.from_model

    def remember(*args, **kwargs):
        explorer = from_model(*args, **kwargs)
        known.append(weakref.ref(explorer.values))
        return explorer

    monkeypatch.setattr(Explorer, "from_model", remember)
    page = stimpute.explore(sections, progress=False)
    page.close()
    del page
    gc.collect()
    assert known[0]() is None


def test_cells_are_encoded_for_all_folds_while_the_page_is_looked_at(sections, monkeypatch):
    begun = threading.Event()
    ended = []

    def encode_folds(values, stop):
        begun.set()
        ended.append(stop.wait(60))

    monkeypatch.setattr(GeneValues, "encode_folds", encode_folds)
    page = stimpute.explore(sections, progress=False)
    assert begun.wait(60)
    page.close()
    assert ended == [True]


def test_a_taken_port_is_refused():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"Port {port} cannot be used"):
            find_port(port)
    with pytest.raises(OSError, match="Port 70000 cannot be used"):
        find_port(70000)
    assert find_port(None) > 0


def test_wrong_models_are_refused(pair):
    with pytest.raises(TypeError, match="`model` is a str"):
        stimpute.explore("model")
    with pytest.raises(RuntimeError, match="not trained"):
        stimpute.explore(StImputeModel(*pair))


def test_without_the_extra_the_message_names_it(sections, monkeypatch):
    monkeypatch.setitem(sys.modules, "panel", None)
    with pytest.raises(ImportError, match=r"needs panel, .*: `pip install '\.\[explore\]'`"):
        stimpute.explore(sections)


@pytest.mark.slow
def test_explore_is_a_function_and_imports_no_panel():
    script = (
        "import sys, stimpute; callable(stimpute.explore) or sys.exit(1);"
        "import stimpute.explorer; callable(stimpute.explore) or sys.exit(2);"
        "sys.exit(3 if 'panel' in sys.modules else 0)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
