import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from stimpute import pp, tl
from stimpute.datasets import merfish_hypothalamus

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [pytest.mark.real, pytest.mark.skipif(not DATA.is_dir(), reason="the real pairs are absent")]


def test_a_constant_scores_high_in_cosine_and_zero_in_correlation():
    """The metric of the paper alone is misleading: a constant has 0.744 on the pair that it used."""
    spatial = ad.read_h5ad(DATA / "OSMFISH_VISP" / "spatial.h5ad")
    truth = pp.measured_expression(spatial)
    constant = ad.AnnData(np.ones(truth.shape, np.float32), obs=truth.obs, var=truth.var)
    means = tl.summarize(tl.score(truth, constant)).loc["mean"]
    assert means["css"] == pytest.approx(0.744, abs=5e-4)
    assert means["pcc"] == means["spearman"] == 0


def test_morans_i_of_a_real_section():
    spatial, _ = merfish_hypothalamus(data_dir=DATA)
    smooth = pp.measured_expression(spatial)
    table = tl.morans_i(spatial, smooth, ["Gad1", "Cd24a"])
    np.testing.assert_allclose(table["difference"], 0, atol=1e-6)
    assert (table["measured"] > 0.05).all()
