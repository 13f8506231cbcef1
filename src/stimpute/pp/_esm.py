"""Load language models of fair-esm and run them; checkpoints are loaded as data, never as code."""

from __future__ import annotations

import argparse
import difflib
import hashlib
import pickle
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pooch
import torch
from numpy.typing import NDArray

from stimpute._messages import missing_extra
from stimpute._screen import quiet

DOWNLOADS = "https://dl.fbaipublicfiles.com/fair-esm/models"
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ESM1_ARCHITECTURES = ("roberta_large", "protein_bert_base")  # ESM-1, ESM-1b, ESM-1v
RESIDUES = frozenset("ACDEFGHIKLMNPQRSTVWYXBUZO")
VALUES_PER_WEIGHT = 256  # of each weight matrix, in the fingerprint of a model

Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A protein language model that is ready to run.

    Parameters
    ----------
    name
        Name of the model.
    module, alphabet
        Model and alphabet of fair-esm.
    device
        Device of the model.
    precision
        Precision inside the model. Weights stay float32, because the rotary angles of late residues need the digits.
    """

    name: str
    module: torch.nn.Module
    alphabet: Any
    device: torch.device
    precision: Precision

    @property
    def n_layers(self) -> int:
        """Number of transformer layers."""
        return len(self.module.layers)  # type: ignore[arg-type]

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.module.embed_dim  # type: ignore[return-value]

    @property
    def fingerprint(self) -> str:
        """Digest of the first values of each weight, which distinguishes models of the same name."""
        digest = hashlib.sha256()
        for name, weight in self.module.state_dict().items():
            # Published checkpoints lack the contact head, and fair-esm fills it with random numbers.
            if name.startswith("contact_head"):
                continue
            sample = weight.flatten()[:VALUES_PER_WEIGHT].float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}".encode() + sample.tobytes())
        return digest.hexdigest()[:32]

    @torch.inference_mode()
    def pool(self, sequences: Sequence[str], weights: Sequence[NDArray[np.float32]], layer: int) -> NDArray[np.float32]:
        """Sum the representations of residues in a layer, from 0 (the input) to `n_layers`.

        There is one weight per residue for each sequence; BOS, EOS and padding have weight 0. The result has shape
        (n_sequences, width).
        """
        _, _, tokens = self.alphabet.get_batch_converter()([("", sequence) for sequence in sequences])
        first = int(self.alphabet.prepend_bos)
        token_weights = torch.zeros(tokens.shape)
        for row, weight in enumerate(weights):
            token_weights[row, first : first + len(weight)] = torch.from_numpy(weight)
        if self.precision == "float32":
            context: Any = nullcontext()
        else:
            context = torch.autocast(self.device.type, PRECISIONS[self.precision])
        with context:
            output = self.module(tokens.to(self.device), repr_layers=[layer])
        states = output["representations"][layer].float()
        return torch.einsum("bt,btd->bd", token_weights.to(self.device), states).cpu().numpy()


def clean_residues(sequence: str) -> tuple[str, int]:
    """Convert a sequence to upper case, remove its stop sign, replace non-residue characters by X and count them."""
    text = "".join(sequence.upper().split()).removesuffix("*")
    residues = "".join(letter if letter in RESIDUES else "X" for letter in text)
    n_replaced = sum(letter not in RESIDUES for letter in text)
    return residues, n_replaced


def load_encoder(
    model: str | Path, device: str = "auto", precision: Precision = "float32", progress: bool = False
) -> Encoder:
    """Load a language model by its fair-esm name or from a checkpoint file, see :func:`embed_proteins`.

    Raises
    ------
    ImportError
        If fair-esm is not installed.
    FileNotFoundError
        If the checkpoint does not exist.
    ConnectionError
        If the weights are not on this computer and cannot be downloaded.
    ValueError
        If the name or precision is unknown, or the checkpoint is not an ESM model.
    """
    pretrained = _import_fair_esm()
    if precision not in PRECISIONS:
        raise ValueError(f"`precision` is {precision!r}; expected one of {sorted(PRECISIONS)}.")
    path = Path(model)
    if path.suffix == ".pt" or len(path.parts) > 1:
        name = path.stem
        data = _read_checkpoint(path)
    else:
        name = str(model)
        data = _read_checkpoint(_download(name, pretrained, progress), "Remove it to download it again.")
    with warnings.catch_warnings():
        # These weights predict contacts, which are not used.
        warnings.filterwarnings("ignore", message="Regression weights not found")
        try:
            module, alphabet = pretrained.load_model_and_alphabet_core(_layout_name(data, name), data, None)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"{model} is not a complete checkpoint in the format of fair-esm: {error!r}") from error
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    place = torch.device(device)
    return Encoder(name, module.float().eval().to(place), alphabet, place, precision)


def _import_fair_esm() -> Any:
    """Import fair-esm, which shares its module name with another package."""
    try:
        from esm import pretrained
    except ImportError as error:
        raise missing_extra("Embedding proteins needs fair-esm", "proteins") from error
    if not hasattr(pretrained, "load_model_and_alphabet_core"):
        raise ImportError(
            "The installed package 'esm' is not fair-esm, which has the same module: `pip uninstall esm`, then "
            "`pip install fair-esm`."
        )
    return pretrained


def _read_checkpoint(path: Path, advice: str = "Use a checkpoint as fair-esm publishes it.") -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint at {path}. Pass a file, or a fair-esm name such as 'esm2_t33_650M_UR50D'."
        )
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"{path} is broken, or holds more than weights and settings, and was not loaded. {advice}"
        ) from error


def _download(name: str, pretrained: Any, progress: bool) -> Path:
    """Download a checkpoint, unless it is among those that PyTorch has downloaded."""
    known = [known_name for known_name in dir(pretrained) if known_name.startswith(("esm1", "esm2"))]
    if name not in known:
        close = difflib.get_close_matches(name, known, cutoff=0.4) or known[:3]
        raise ValueError(
            f"`model` is {name!r}; expected a fair-esm name such as {', '.join(close)}, or the path of a .pt file."
        )
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with quiet("pooch"):
            url = f"{DOWNLOADS}/{name}.pt"
            return Path(pooch.retrieve(url, known_hash=None, fname=f"{name}.pt", path=folder, progressbar=progress))
    except OSError as error:
        raise ConnectionError(
            f"The weights of {name} could not be downloaded from {DOWNLOADS} ({error}). They are needed once: check "
            f"the network connection, or copy {name}.pt from another computer and pass its path."
        ) from error


def _layout_name(data: Any, name: str) -> str:
    """Return a name by which fair-esm recognizes the layout: ESM-2 checkpoints have `cfg`, ESM-1 checkpoints `args`."""
    if isinstance(data, dict) and "model" in data:
        if "cfg" in data:
            return "esm2"
        if getattr(data.get("args"), "arch", None) in ESM1_ARCHITECTURES:
            return name.replace("esm2", "esm1")
    found = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
    raise ValueError(
        f"The checkpoint {name!r} holds {found}; expected 'model' with 'cfg' (ESM-2) or 'args' (ESM-1, 1b, 1v)."
    )
