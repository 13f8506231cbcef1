"""Metrics of predicted expression: one value per gene or per cell."""

from stimpute.tl.metrics._css import css
from stimpute.tl.metrics._js import js
from stimpute.tl.metrics._mse import mse
from stimpute.tl.metrics._pcc import pcc
from stimpute.tl.metrics._rmse_z import rmse_z
from stimpute.tl.metrics._spearman import spearman
from stimpute.tl.metrics._ssim import ssim

__all__ = ["css", "js", "mse", "pcc", "rmse_z", "spearman", "ssim"]
