"""The only file that touches fair-esm: checkpoints are read as data, never as code."""

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
import torch
from numpy.typing import NDArray

DOWNLOADS = "https://dl.fbaipublicfiles.com/fair-esm/models"
PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LANGUAGE_MODELS = ("roberta_large", "protein_bert_base")  # ESM-1, ESM-1b, ESM-1v; ESM-2 has another layout
_RESIDUES = frozenset("ACDEFGHIKLMNPQRSTVWYXBUZO")

Precision = Literal["float32", "bf16", "fp16"]


@dataclass(frozen=True, eq=False)
class Encoder:
    """A protein language model, ready to run.

    Parameters
    ----------
    name
        Name of the model.
    module, alphabet
        fair-esm's model and alphabet.
    device
        Where it runs.
    precision
        Inner precision; weights stay float32, so that rotary angles of far residues do not lose digits.
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
    def fingerprint(self) -> str:
        """Digest of the first values of every weight: equal names do not make equal models.

        Without the contact head, which published checkpoints lack and fair-esm fills with random numbers.
        """
        digest = hashlib.sha256()
        for name, weight in self.module.state_dict().items():
            if name.startswith("contact_head"):
                continue
            sample = weight.flatten()[:256].float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}".encode() + sample.tobytes())
        return digest.hexdigest()[:32]

    @torch.inference_mode()
    def pool(self, sequences: Sequence[str], weights: Sequence[NDArray[np.float32]], layer: int) -> NDArray[np.float32]:
        """Sum the representations of residues with the given weights.

        Parameters
        ----------
        sequences
            Residues, letters of the alphabet only.
        weights
            One weight a residue for each sequence; begin, end and padding have none.
        layer
            Layer to read, 0 (the input) to `n_layers`.

        Returns
        -------
        [sequences, d].
        """
        _, _, tokens = self.alphabet.get_batch_converter()([("", sequence) for sequence in sequences])
        first = int(self.alphabet.prepend_bos)
        share = torch.zeros(tokens.shape)
        for row, weight in enumerate(weights):
            share[row, first : first + len(weight)] = torch.from_numpy(weight)
        half = self.precision != "float32"
        inner = torch.autocast(self.device.type, PRECISIONS[self.precision]) if half else nullcontext()
        with inner:
            states = self.module(tokens.to(self.device), repr_layers=[layer])["representations"][layer]
        return torch.einsum("bt,btd->bd", share.to(self.device), states.float()).cpu().numpy()


def clean_residues(sequence: str) -> tuple[str, int]:
    """Upper-case a sequence, drop its stop sign, replace what is no residue by X, and count these."""
    text = "".join(sequence.upper().split()).removesuffix("*")
    clean = "".join(letter if letter in _RESIDUES else "X" for letter in text)
    return clean, sum(letter not in _RESIDUES for letter in text)


def load_encoder(model: str | Path, device: str = "auto", precision: Precision = "float32") -> Encoder:
    """Load a language model by its fair-esm name or from a checkpoint file.

    Parameters
    ----------
    model
        For example `"esm2_t33_650M_UR50D"`, downloaded once by :mod:`torch.hub`; or the path of a `.pt` file in
        fair-esm's format.
    device
        `"auto"` (a GPU if there is one), `"cpu"`, `"cuda"`, ...
    precision
        Inner precision.

    Returns
    -------
    :class:`Encoder`.

    Raises
    ------
    ImportError
        If fair-esm is not installed.
    FileNotFoundError
        If the checkpoint does not exist.
    ValueError
        If the name or precision is unknown, or the checkpoint holds anything but weights and settings of an ESM
        model.
    """
    pretrained = _fair_esm()
    if precision not in PRECISIONS:
        raise ValueError(f"Found precision={precision!r}, expected one of {sorted(PRECISIONS)}.")
    path = Path(model)
    is_path = path.suffix == ".pt" or len(path.parts) > 1
    name = path.stem if is_path else str(model)
    data = _read_checkpoint(path) if is_path else _download(name, pretrained)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Regression weights not found")  # contacts are not asked for
        try:
            module, alphabet = pretrained.load_model_and_alphabet_core(_layout(data, name), data, None)
        except (AttributeError, KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"{model} is not a complete checkpoint in fair-esm's format: {error!r}") from error
    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    return Encoder(name, module.float().eval().to(place), alphabet, place, precision)


def _fair_esm() -> Any:
    """Import fair-esm, which shares its module name with another package."""
    try:
        from esm import pretrained
    except ImportError as error:
        raise ImportError("Embedding proteins needs fair-esm: pip install 'stimpute[proteins]'.") from error
    if not hasattr(pretrained, "load_model_and_alphabet_core"):
        raise ImportError(
            "The installed package 'esm' is not fair-esm: pip uninstall esm; pip install 'stimpute[proteins]'."
        )
    return pretrained


def _read_checkpoint(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(
            f"No checkpoint at {path}; pass a file, or a fair-esm name such as 'esm2_t33_650M_UR50D'."
        )
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        raise ValueError(
            f"{path} holds something other than weights and settings, or is broken, and was not loaded: {error}. Use a "
            "checkpoint as fair-esm publishes them."
        ) from error


def _download(name: str, pretrained: Any) -> dict[str, Any]:
    known = [n for n in dir(pretrained) if n.startswith(("esm1", "esm2"))]
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:3]
        raise ValueError(
            f"Found model={name!r}, expected a fair-esm name such as {', '.join(close)}, or the path of a .pt file."
        )
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.hub.load_state_dict_from_url(f"{DOWNLOADS}/{name}.pt", map_location="cpu", weights_only=True)


def _layout(data: Any, name: str) -> str:
    """Return the name by which fair-esm chooses the layout: ESM-2 has `cfg`, its elders `args`."""
    if isinstance(data, dict) and "model" in data:
        if "cfg" in data:
            return "esm2"
        if getattr(data.get("args"), "arch", None) in _LANGUAGE_MODELS:
            return name.replace("esm2", "esm1")
    found = sorted(map(str, data)) if isinstance(data, dict) else type(data).__name__
    raise ValueError(
        f"The checkpoint {name!r} holds {found}, expected 'model' with 'cfg' (ESM-2) or 'args' (ESM-1, 1b, 1v)."
    )
