"""stPlus (Shengquan et al. 2021): its own normalization, its defaults. Release 0.0.6 runs on CUDA only."""

import tempfile

import numpy as np
import pandas as pd
import torch

if not torch.cuda.is_available():
    raise ImportError("stPlus 0.0.6 makes CUDA the default device when it is imported, and there is none here")

from stPlus import stPlus

NAME = "stPlus"


def predict(fold):
    """Log-normalized frames in, as its tutorial has them."""
    genes = list(fold.spatial.var_names)
    spatial = pd.DataFrame(_normalized(fold.spatial.X), columns=genes)
    reference = fold.reference[:, [*genes, *fold.targets]]
    total = np.asarray(fold.reference.X.sum(1)).ravel()
    frame = pd.DataFrame(_normalized(reference.X, total), columns=[*genes, *fold.targets])
    with tempfile.TemporaryDirectory() as folder:
        result = stPlus(spatial, frame, fold.targets, f"{folder}/stplus", verbose=False)
    return result[fold.targets].to_numpy()


def _normalized(x, total=None):
    x = x.toarray() if hasattr(x, "toarray") else np.asarray(x)
    total = x.sum(1) if total is None else total
    return np.log1p(x * (np.median(total) / np.maximum(total, 1))[:, None])
