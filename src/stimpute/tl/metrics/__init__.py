"""Accuracy of predicted expression, one value for each gene or each cell."""

from ._css import css
from ._js import js
from ._mse import mse
from ._pcc import pcc
from ._rmse_z import rmse_z
from ._spearman import spearman
from ._ssim import ssim

__all__ = ["css", "js", "mse", "pcc", "rmse_z", "spearman", "ssim"]
