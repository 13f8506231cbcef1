"""TransImp (Qiao and Huang 2024), transpa: its defaults, which map clusters of the reference to cells.

The clusters are those of its own function `leiden_cluster`; the spatial term is off, as it is by default. The variant
of the paper, with all cells and a map of low rank, is `transimp_lr.py`.
"""

import contextlib
import io

import numpy as np
import torch

from peers._device import device
from peers._normalize import normalized_pair
from peers._stand_ins import stand_ins

with stand_ins(turtle=("forward",), squidpy=()):
    from transpa.util import expTransImp, leiden_cluster

NAME = "TransImp"
PACKAGES = ("transpa",)


def predict(fold, seed=0):
    """Cluster the reference, and map its clusters."""
    _, everything = normalized_pair(fold, fold.reference.var_names)
    classes, names = leiden_cluster(everything, normalize=False)
    return impute(fold, seed, classes=np.asarray(classes), ct_list=list(names))


def impute(fold, seed, **options):
    """Impute from log-normalized frames; `options` go to `expTransImp`."""
    spatial, reference = normalized_pair(fold)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        predicted = expTransImp(
            df_ref=reference.to_df(),
            df_tgt=spatial.to_df(),
            train_gene=list(spatial.var_names),
            test_gene=list(fold.targets),
            device=torch.device(device()),
            seed=seed,
            **options,
        )
    return predicted.cpu().numpy() if torch.is_tensor(predicted) else predicted
