"""Predict the cosine similarity score of a gene from its predicted profile (eq. 13), for `paper`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scvi import REGISTRY_KEYS

from stimpute.module._reliability_network import SCORE_KEY, ReliabilityNetwork
from stimpute.recipes._paper_view import PaperView
from stimpute.train._trainer import PhaseTrainer

N_QUANTILES = 32  # of a predicted profile, the input of the network
BATCH_SIZE = 64  # genes
N_EPOCHS = 60  # the text names none


def fit_reliability(view_of: Callable[[int | None], PaperView], trainer: PhaseTrainer, lr: float) -> np.ndarray:
    """Train the network out of fold over genes; then once more on all, for unmeasured genes.

    Parameters
    ----------
    view_of
        Returns cells and genes with one fold of the genes held out.
    trainer
        The trainer.
    lr
        Learning rate of Adam.

    Returns
    -------
    Out-of-fold score of the shared genes, shape (n_shared,).
    """
    view = view_of(None)
    folds = view.preparation.folds
    profiles, scores = _predict_held_out(view_of, len(folds), len(view.reference.shared))
    network = view.module["reliability"]
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    out_of_fold = np.zeros(len(scores))
    for fold in [*range(len(folds)), None]:
        split = folds.split(fold)
        network.load_state_dict(initial)
        tensors = {
            REGISTRY_KEYS.X_KEY: torch.from_numpy(profiles[split.inputs]),
            SCORE_KEY: torch.from_numpy(scores[split.inputs].astype(np.float32)),
        }
        batches = trainer.batches(tensors, BATCH_SIZE)
        trainer.run("reliability", network, batches, N_EPOCHS, show_progress=False, lr=lr)
        if fold is not None:
            out_of_fold[split.held_out] = score_profiles(network, profiles[split.held_out])
    return out_of_fold


def _predict_held_out(
    view_of: Callable[[int | None], PaperView], n_folds: int, n_shared: int
) -> tuple[np.ndarray, np.ndarray]:
    """Predict every shared gene in the probe cells with its fold held out.

    Returns
    -------
    Quantiles of the predicted profiles, shape (n_shared, N_QUANTILES), and cosine similarity of prediction and truth,
    shape (n_shared,).
    """
    profiles = np.zeros((n_shared, N_QUANTILES), np.float32)
    scores = np.zeros(n_shared)
    for fold in range(n_folds):
        view = view_of(fold)
        held_out = view.split.held_out
        predicted = view.probe_profiles(view.reference.shared[held_out])
        truth = view.log_normalized(view.preparation.probe.cells())[:, held_out]
        profiles[held_out] = profile_quantiles(predicted)
        norm = np.linalg.norm(truth, axis=0) * np.linalg.norm(predicted, axis=0)
        scores[held_out] = (truth * predicted).sum(0) / np.maximum(norm, 1e-12)
    return profiles, scores


def profile_quantiles(predicted: np.ndarray) -> np.ndarray:
    """Describe each gene's predicted profile by its quantiles, shape (n_genes, N_QUANTILES)."""
    return np.quantile(predicted, np.linspace(0, 1, N_QUANTILES), axis=0).T.astype(np.float32)


@torch.inference_mode()
def score_profiles(network: ReliabilityNetwork, profiles: np.ndarray) -> np.ndarray:
    """Predict the score of genes from their quantiles, shape (n_genes,)."""
    return network.inference(torch.from_numpy(profiles).to(network.device))["score"].cpu().numpy().astype(np.float64)
