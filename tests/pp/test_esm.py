import sys
import threading
from argparse import Namespace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import torch

from stimpute.pp import _esm
from stimpute.pp._esm import clean_residues, load_encoder


class Hostile:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return (open, (str(self.witness), "w"))


@pytest.mark.parametrize("where", ["top", "inside"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_checkpoint_does_not_run(tiny_esm2, tmp_path, where, zipped):
    witness, path = tmp_path / "was_run", tmp_path / "esm2_bad.pt"
    if where == "inside":
        with torch.serialization.safe_globals([Namespace]):
            data = torch.load(tiny_esm2, weights_only=True)
        content = {**data, "extra": Hostile(witness)}
    else:
        content = Hostile(witness)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="was not loaded"):
        load_encoder(path)
    assert not witness.exists()


def test_the_allowance_ends_with_the_call(tiny_esm2):
    load_encoder(tiny_esm2)
    assert Namespace not in torch.serialization.get_safe_globals()


def test_names_and_files(tiny_esm2, tmp_path):
    encoder = load_encoder(tiny_esm2, "cpu")
    assert (encoder.name, encoder.n_layers, encoder.device.type) == ("esm2_tiny", 2, "cpu")
    with pytest.raises(ValueError, match="esm2_t33_650M_UR50D"):
        load_encoder("esm2_t33_650M")
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_encoder(tmp_path / "absent.pt")


def test_any_file_name_will_do(save_tiny_esm2, tmp_path):
    assert load_encoder(save_tiny_esm2(tmp_path / "mine.pt"), "cpu").name == "mine"


@pytest.mark.parametrize(
    "content",
    [
        {"weights": torch.ones(1)},
        [torch.ones(1)],
        {"model": {}, "cfg": {"model": Namespace()}},
        {"model": {}, "args": Namespace(arch="msa_transformer")},
    ],
)
def test_other_checkpoints_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"The checkpoint 'other' holds|not a complete checkpoint"):
        load_encoder(tmp_path / "other.pt")


def test_a_broken_file_is_refused(tiny_esm2, tmp_path):
    (tmp_path / "esm2_cut.pt").write_bytes(tiny_esm2.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is broken"):
        load_encoder(tmp_path / "esm2_cut.pt")


@pytest.fixture
def served(monkeypatch, tmp_path):
    """Serve the checkpoints in a folder on this machine, and keep what is downloaded in another one."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *arguments: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(_esm, "DOWNLOADS", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    yield folder
    server.shutdown()
    server.server_close()


def test_weights_that_cannot_be_downloaded(served):
    with pytest.raises(
        ConnectionError, match=r"esm2_t6_8M_UR50D could not be downloaded from .*copy esm2_t6_8M_UR50D\.pt"
    ):
        load_encoder("esm2_t6_8M_UR50D", "cpu")


def test_weights_are_downloaded_once(served, tiny_esm2, capfd):
    checkpoint = served / "esm2_t6_8M_UR50D.pt"
    checkpoint.write_bytes(tiny_esm2.read_bytes())
    assert load_encoder("esm2_t6_8M_UR50D", "cpu").name == "esm2_t6_8M_UR50D"
    checkpoint.unlink()
    assert load_encoder("esm2_t6_8M_UR50D", "cpu").n_layers == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("hostile", [True, False])
def test_a_download_that_is_no_checkpoint_is_named(served, tiny_esm2, tmp_path, hostile):
    checkpoint = served / "esm2_t6_8M_UR50D.pt"
    checkpoint.write_bytes(tiny_esm2.read_bytes()[:1000])
    if hostile:
        torch.save(Hostile(tmp_path / "was_run"), checkpoint)
    with pytest.raises(ValueError, match=r"hub.checkpoints.esm2_t6_8M_UR50D\.pt is broken.*Remove it"):
        load_encoder("esm2_t6_8M_UR50D", "cpu")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize(("module", "message"), [(None, "needs fair-esm"), (SimpleNamespace(), "is not fair-esm")])
def test_without_fair_esm(tiny_esm2, monkeypatch, module, message):
    monkeypatch.setitem(sys.modules, "esm", module and SimpleNamespace(pretrained=module))
    with pytest.raises(ImportError, match=message):
        load_encoder(tiny_esm2)


def test_clean_residues():
    assert clean_residues(" mkl v*\n") == ("MKLV", 0)
    assert clean_residues("MJ*O.U**") == ("MXXOXUX", 4)
