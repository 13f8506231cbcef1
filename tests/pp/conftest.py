import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from pp.uniprot_server import UniProtServer


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (folder / "esm2_osmFISH.npz").exists():
        pytest.skip(f"no real data at {folder}; set STIMPUTE_DATA")
    return folder


@pytest.fixture
def uniprot():
    with UniProtServer() as server:
        yield server


@pytest.fixture(scope="session")
def save_tiny_esm2():
    """A function that saves a tiny ESM-2 with random weights, as fair-esm publishes its checkpoints."""
    esm2 = pytest.importorskip("esm.model.esm2")

    def save(path: Path, seed: int = 0, n_layers: int = 2, width: int = 32) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = esm2.ESM2(num_layers=n_layers, embed_dim=width, attention_heads=4)
        prefix = lambda name: f"encoder.{name}" if name.startswith("lm_head") else f"encoder.sentence_encoder.{name}"
        state = {prefix(name): value for name, value in model.state_dict().items() if "contact_head" not in name}
        settings = Namespace(
            encoder_layers=n_layers, encoder_embed_dim=width, encoder_attention_heads=4, token_dropout=True
        )
        torch.save({"cfg": {"model": settings}, "model": state}, path)
        return path

    return save


@pytest.fixture(scope="session")
def tiny_esm2(save_tiny_esm2, tmp_path_factory) -> Path:
    return save_tiny_esm2(tmp_path_factory.mktemp("esm") / "esm2_tiny.pt")
