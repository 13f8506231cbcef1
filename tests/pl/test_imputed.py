import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stimpute import pl
from stimpute.datasets import synthetic_tissue


@pytest.fixture(scope="module")
def spatial():
    return synthetic_tissue(n_cells=80, n_reference=5, n_measured=5, n_unmeasured=3, n_missing_proteins=0).spatial


@pytest.fixture(scope="module")
def imputed(spatial):
    rng = np.random.default_rng(0)
    genes = [*spatial.var_names[:2], "New"]
    x = rng.random((spatial.n_obs, 3)).astype(np.float32)
    var = pd.DataFrame({"reliability": [0.5, 0.25, 0.125]}, index=genes)
    return ad.AnnData(x, obs=spatial.obs, var=var, layers={"lower": x - 1, "upper": x + np.array([1, 2, 3])})


def _panels(axes):
    return [a for a in axes if a.collections]


def _limits(ax):
    norm = ax.collections[0].norm
    return norm.vmin, norm.vmax


def test_a_gene_has_one_scale(spatial, imputed):
    gene = spatial.var_names[0]
    axes = pl.imputed(spatial, imputed, gene, return_ax=True)
    assert [a.get_title() for a in axes] == [f"{gene}\nmeasured", f"{gene}\nimputed, reliability 0.50"]
    assert _limits(axes[0]) == _limits(axes[1])
    assert len(axes[0].collections[0].get_offsets()) == spatial.n_obs
    counts = spatial.X.toarray()
    measured = np.log1p(counts[:, 0] / counts.sum(1) * np.median(counts.sum(1)))
    np.testing.assert_allclose(np.sort(axes[0].collections[0].get_array()), np.sort(measured), rtol=1e-5)


def test_genes_that_were_not_measured_show_one_panel(spatial, imputed):
    alone = pl.imputed(spatial, imputed, ["New"], return_ax=True)
    assert alone.get_title() == "New\nimputed, reliability 0.12"
    both = pl.imputed(spatial, imputed, [spatial.var_names[0], "New"], return_ax=True)
    assert len(both) == 4
    assert len(_panels(both)) == 3
    assert "not measured" in both[2].texts[0].get_text()


def test_interval_width_has_its_own_scale(spatial, imputed):
    axes = pl.imputed(spatial, imputed, spatial.var_names[1], interval=True, return_ax=True)
    assert [a.get_title().split("\n")[1] for a in axes] == ["measured", "imputed, reliability 0.25", "interval width"]
    np.testing.assert_allclose(axes[2].collections[0].get_array(), 3, rtol=1e-5)
    assert _limits(axes[2]) != _limits(axes[1])


def test_each_section_has_its_row(spatial, imputed):
    spatial = spatial.copy()
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 30, "a", "b")
    axes = pl.imputed(spatial, imputed, spatial.var_names[:2], library_key="section", return_ax=True)
    assert len(axes) == 8
    assert [len(a.collections[0].get_offsets()) for a in axes[:4]] == [30, 30, 50, 50]


def test_the_callers_axes_and_file(spatial, imputed, tmp_path):
    _, axes = plt.subplots(1, 2)
    assert pl.imputed(spatial, imputed, spatial.var_names[0], ax=axes, save=tmp_path / "x.png") is None
    assert axes[0].get_title()
    assert (tmp_path / "x.png").stat().st_size > 0
    with pytest.raises(ValueError, match="2 axes: expected 1 rows of 3"):
        pl.imputed(spatial, imputed, spatial.var_names[0], interval=True, ax=axes)


def test_inputs_are_unchanged(spatial, imputed):
    before = spatial.X.toarray(), imputed.X.copy(), list(spatial.uns), list(spatial.obs)
    pl.imputed(spatial, imputed, spatial.var_names[0])
    np.testing.assert_array_equal(spatial.X.toarray(), before[0])
    np.testing.assert_array_equal(imputed.X, before[1])
    assert (list(spatial.uns), list(spatial.obs)) == before[2:]


def test_errors_name_what_is_missing(spatial, imputed):
    gene = spatial.var_names[0]
    with pytest.raises(KeyError, match="Nope"):
        pl.imputed(spatial, imputed, ["Nope"])
    with pytest.raises(KeyError, match="place"):
        pl.imputed(spatial, imputed, gene, spatial_key="place")
    with pytest.raises(KeyError, match="library"):
        pl.imputed(spatial, imputed, gene, library_key="library")
    with pytest.raises(ValueError, match="different cells"):
        pl.imputed(spatial, imputed[:10], gene)
    bare = imputed.copy()
    del bare.layers["lower"]
    with pytest.raises(KeyError, match="interval=0.9"):
        pl.imputed(spatial, bare, gene, interval=True)
