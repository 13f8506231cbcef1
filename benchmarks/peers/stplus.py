"""stPlus (Shengquan et al. 2021): its defaults, log-normalized frames as in its tutorial.

Release 0.0.6 makes CUDA the default of torch when it is imported, and calls `.cuda()` on everything. Without CUDA these
three calls are made harmless while it is imported and runs. It draws the most variable of the other genes of the
reference, which fails where there are fewer than it asks for: then all of them are taken.
"""

import contextlib
import tempfile

import numpy as np
import torch

from peers._device import device
from peers._normalize import normalized_pair
from peers._stand_ins import stand_ins

NAME = "stPlus"
PACKAGES = ("stPlus",)


@contextlib.contextmanager
def _without_cuda():
    tensor, module, default = torch.Tensor.cuda, torch.nn.Module.cuda, torch.set_default_tensor_type
    torch.set_default_tensor_type = lambda kind: None
    if device() == "cpu":
        torch.Tensor.cuda = lambda self, *args, **kwargs: self
        torch.nn.Module.cuda = lambda self, *args, **kwargs: self
    try:
        yield
    finally:
        torch.Tensor.cuda = tensor
        torch.nn.Module.cuda = module
        torch.set_default_tensor_type = default


with _without_cuda(), stand_ins(torchvision=("datasets",)):
    from stPlus import model as stplus


def _most_variable(values, n_genes):
    return np.argsort(values.var(0))[max(values.shape[1] - n_genes, 0) :]


stplus.select_top_variable_genes = _most_variable


def predict(fold, seed=0):
    """Log-normalized frames in and out; the seed is its `random_seed`."""
    spatial, reference = normalized_pair(fold, [*fold.spatial.var_names, *_others(fold)])
    with tempfile.TemporaryDirectory() as folder, _without_cuda():
        result = stplus.stPlus(
            spatial.to_df(), reference.to_df(), fold.targets, f"{folder}/stplus", random_seed=seed, verbose=False
        )
    return result[fold.targets].to_numpy()


def _others(fold):
    return [gene for gene in fold.reference.var_names if gene not in set(fold.spatial.var_names)]
