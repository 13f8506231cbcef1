import numpy as np
import pytest
from small import fit, set_up, small_pair

pytest.importorskip("panel", reason="the extra `explore` is not installed")
pytest.importorskip("datashader", reason="the extra `explore` is not installed")

from stimpute.explorer._pictures import Explorer


@pytest.fixture(scope="session")
def sections():
    """A trained model on two sections, with labels, a palette and a column `explained`."""
    spatial, reference = small_pair()
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 90, "A", "B")
    spatial.obs["explained"] = np.linspace(0, 1, spatial.n_obs)
    spatial.obs["name"] = [f"cell {i}" for i in range(spatial.n_obs)]
    spatial.uns["cell_type_colors"] = ["#123456"] * spatial.obs["cell_type"].nunique()
    return fit(*set_up(spatial, reference, batch_key="section"), "crossfit")


@pytest.fixture(scope="session")
def explorer(sections):
    """What a page of this model shows; tests may not change it."""
    return Explorer.from_model(sections, progress=False)


@pytest.fixture(scope="session")
def measured(explorer):
    """Names of measured genes, the most reliable first."""
    ranked = explorer.genes.ranked
    return list(ranked.index[ranked["measured"]])


@pytest.fixture(scope="session")
def unmeasured(explorer):
    """Names of unmeasured genes, the most reliable first."""
    ranked = explorer.genes.ranked
    return list(ranked.index[~ranked["measured"]])
