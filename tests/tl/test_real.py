import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

from stimpute import tl
from stimpute.datasets import merfish_hypothalamus

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = [pytest.mark.real, pytest.mark.skipif(not DATA.is_dir(), reason="the real pairs are absent")]


def test_a_constant_scores_high_in_cosine_and_nothing_in_correlation():
    """The paper's metric alone is misleading: a constant has .744 on the pair that it used."""
    spatial = ad.read_h5ad(DATA / "OSMFISH_VISP" / "spatial.h5ad")
    truth = tl.measured_expression(spatial)
    constant = ad.AnnData(np.ones(truth.shape, np.float32), obs=truth.obs, var=truth.var)
    means = tl.summarise(tl.score(truth, constant)).loc["mean"]
    assert means["css"] == pytest.approx(0.744, abs=5e-4)
    assert means["pcc"] == means["spearman"] == 0


def test_coherence_of_a_real_section():
    spatial, _ = merfish_hypothalamus(data_dir=DATA)
    smooth = tl.measured_expression(spatial)
    table = tl.spatial_coherence(spatial, smooth, ["Gad1", "Cd24a"])
    np.testing.assert_allclose(table["inflation"], 0, atol=1e-6)
    assert (table["measured"] > 0.05).all()
