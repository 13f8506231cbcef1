import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from stimpute import pl
from stimpute.data._result import units
from stimpute.datasets import synthetic_tissue


@pytest.fixture(scope="module")
def spatial():
    return synthetic_tissue(n_cells=80, n_reference=5, n_measured=5, n_unmeasured=3, n_missing_proteins=0).spatial


@pytest.fixture(scope="module")
def imputed(spatial):
    rng = np.random.default_rng(0)
    genes = [*spatial.var_names[:2], "New", "$x^$"]
    x = rng.random((spatial.n_obs, 4)).astype(np.float32)
    var = pd.DataFrame({"reliability": [0.5, 0.25, 0.125, 0.0]}, index=genes)
    return ad.AnnData(x, obs=spatial.obs, var=var, layers={"lower": x - 1, "upper": x + np.array([1, 2, 3, 4])})


@pytest.fixture
def two_sections(spatial):
    spatial = spatial.copy()
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 30, "a", "b")
    return spatial


def _limits(ax):
    norm = ax.collections[0].norm
    return norm.vmin, norm.vmax


def test_measured_and_imputed_values_share_a_scale(spatial, imputed):
    gene = spatial.var_names[0]
    axes = pl.imputed(spatial, imputed, gene, return_ax=True)
    assert [a.get_title() for a in axes] == [f"{gene}\nmeasured", f"{gene}\nimputed, reliability 0.50"]
    assert _limits(axes[0]) == _limits(axes[1])
    assert len(axes[0].collections[0].get_offsets()) == spatial.n_obs
    counts = spatial.X.toarray()
    measured = np.log1p(counts[:, 0] / counts.sum(1) * np.median(counts.sum(1)))
    np.testing.assert_allclose(np.sort(axes[0].collections[0].get_array()), np.sort(measured), rtol=1e-5)


def test_genes_that_were_not_measured_show_imputed_values_only(spatial, imputed):
    [alone] = pl.imputed(spatial, imputed, ["New"], return_ax=True)
    assert alone.get_title() == "New\nimputed, reliability 0.12"
    both = pl.imputed(spatial, imputed, [spatial.var_names[0], "New"], return_ax=True)
    assert len(both) == 4
    assert both[2].get_title() == "New\nnot measured"
    cells = both[2].collections[0]
    assert len(cells.get_offsets()) == spatial.n_obs
    assert {mpl.colors.to_hex(color) for color in cells.to_rgba(cells.get_array())} == {"#bfbfbf"}


def test_measured_expression_is_not_read_for_unmeasured_genes(spatial, imputed):
    counts = spatial.copy()
    counts.X = -counts.X
    pl.imputed(counts, imputed, "New")
    with pytest.raises(ValueError, match="negative"):
        pl.imputed(counts, imputed, counts.var_names[0])


def test_interval_width_has_its_own_scale(spatial, imputed):
    gene = spatial.var_names[1]
    axes = pl.imputed(spatial, imputed, gene, interval=True, vmax=2, return_ax=True)
    assert [a.get_title().split("\n")[1] for a in axes] == ["measured", "imputed, reliability 0.25", "interval width"]
    np.testing.assert_allclose(axes[2].collections[0].get_array(), 3, rtol=1e-5)
    assert [_limits(ax)[1] for ax in axes] == [2, 2, pytest.approx(3, rel=1e-5)]


def test_color_bars_say_what_the_values_are(spatial, imputed):
    logged = imputed.copy()
    logged.uns["stimpute"] = {"units": units(counts=True)}
    for result, label in ((logged, "log-normalized expression"), (imputed, "normalized expression")):
        axes = pl.imputed(spatial, result, "New", interval=True, return_ax=True)
        bars = [ax for ax in axes[0].figure.axes if ax not in set(axes)]
        assert [bar.get_ylabel() for bar in bars] == [label, label]


def test_a_label_is_not_longer_than_its_color_bar(spatial, imputed):
    wide = spatial.copy()
    wide.obsm["spatial"] = wide.obsm["spatial"] * [3, 1]
    axes = pl.imputed(wide, imputed, "New", figsize=(4, 1.5), return_ax=True)
    figure = axes[0].figure
    figure.canvas.draw()
    (bar,) = [ax for ax in figure.axes if ax not in set(axes)]
    assert bar.get_ylabel() == "normalized\nexpression"
    assert bar.yaxis.label.get_window_extent().height < figure.bbox.height


def test_the_largest_width_can_be_seen_on_white(spatial, imputed):
    axes = pl.imputed(spatial, imputed, "New", interval=True, return_ax=True)
    cmap = axes[1].collections[0].get_cmap()
    for share in np.linspace(0, 1, 11):
        assert min(cmap(share)[:3]) < 0.6


def test_each_section_has_its_row_and_all_share_a_scale(two_sections, imputed):
    axes = pl.imputed(two_sections, imputed, two_sections.var_names[:2], library_key="section", return_ax=True)
    assert len(axes) == 8
    assert [len(a.collections[0].get_offsets()) for a in axes[:4]] == [30, 30, 50, 50]
    assert len({_limits(ax) for ax in axes[:4]}) == 1
    assert _limits(axes[4]) != _limits(axes[0])
    rows = [ax.get_subplotspec().rowspan.start for ax in axes[:4]]
    assert rows == [0, 0, 1, 1]
    assert axes[2].get_title() == f"{two_sections.var_names[0]}, b\nmeasured"


def test_sections_are_those_of_the_setup(two_sections, imputed):
    recorded = imputed.copy()
    recorded.uns["stimpute"] = {"spatial_setup": {"batch_key": "section"}}
    gene = two_sections.var_names[0]
    assert len(pl.imputed(two_sections, recorded, gene, return_ax=True)) == 4
    del two_sections.obs["section"]
    assert len(pl.imputed(two_sections, recorded, gene, return_ax=True)) == 2


@pytest.mark.slow
def test_many_genes_do_not_become_a_strip(spatial, imputed):
    x = np.random.default_rng(0).random((spatial.n_obs, 12)).astype(np.float32)
    many = ad.AnnData(x, obs=spatial.obs, var=pd.DataFrame(index=[f"g{i}" for i in range(12)]))
    axes = pl.imputed(spatial, many, list(many.var_names), return_ax=True)
    width, height = axes[0].figure.get_size_inches()
    assert 0.7 < width / height < 1.4
    tall = pl.imputed(spatial, many, list(many.var_names), figsize=(3, 20), return_ax=True)
    assert {ax.get_subplotspec().colspan.start for ax in tall} == {0}
    for ncols in (1, 5, 100):
        axes = pl.imputed(spatial, many, list(many.var_names), ncols=ncols, return_ax=True)
        columns = {ax.get_subplotspec().colspan.start for ax in axes}
        assert len(columns) == min(ncols, 12)
        assert len(axes[0].figure.axes) == 12 + 12  # maps and color bars


def test_colors_that_are_given_are_used(spatial, imputed):
    gene = spatial.var_names[0]
    axes = pl.imputed(spatial, imputed, gene, cmap="Reds", vmin=1, vmax=7, alpha=0.5, return_ax=True)
    for ax in axes:
        assert _limits(ax) == (1, 7)
        assert ax.collections[0].get_cmap().name == "Reds"
        assert ax.collections[0].get_alpha() == 0.5
    norm = mpl.colors.PowerNorm(0.5, 0, 3)
    for ax in pl.imputed(spatial, imputed, gene, norm=norm, return_ax=True):
        drawn = ax.collections[0].norm
        assert (drawn.gamma, drawn.vmin, drawn.vmax) == (0.5, 0, 3)


def test_a_gene_that_the_model_cannot_predict_is_not_drawn_brightest(spatial, imputed):
    flat = imputed.copy()
    flat.X = np.full_like(flat.X, 0.5)
    flat.var["expected_mean"] = 0.5
    flat.var["expected_std"] = 1.0
    [ax] = pl.imputed(spatial, flat, "New", return_ax=True)
    assert _limits(ax)[1] == pytest.approx(0.5 + 2.3)
    [ax] = pl.imputed(spatial, flat, "New", vmax=0.5, return_ax=True)
    assert _limits(ax)[1] == 0.5


@pytest.mark.parametrize("name", ["$x^$", "HLA-A/B", "ENSG00000000001.5_a_very_long_name_of_one_transcript"])
def test_unusual_names_are_drawn_inside_the_figure(spatial, imputed, name):
    renamed = imputed.copy()
    renamed.var_names = [*imputed.var_names[:3], name]
    [ax] = pl.imputed(spatial, renamed, name, return_ax=True)
    ax.figure.canvas.draw()
    assert ax.get_title().replace("\n", "").replace("\\", "").startswith(name)
    extent = ax.title.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= ax.figure.bbox.x1


def test_layer_positions_and_gene_names_are_those_of_the_setup(spatial, imputed):
    """They are recorded in the result, and need not be repeated."""
    other = spatial.copy()
    other.layers["counts"] = other.X.copy()
    other.X = np.full(other.shape, 0.5, np.float32)
    other.obsm["xy"] = other.obsm.pop("spatial")[:, ::-1]
    other.var["symbol"] = other.var_names
    other.var_names = [f"ENS{i}" for i in range(other.n_vars)]
    recorded = imputed.copy()
    setup = {"layer": "counts", "expression": "counts", "spatial_key": "xy", "gene_symbols": "symbol"}
    recorded.uns["stimpute"] = {"spatial_setup": setup}
    gene = spatial.var_names[0]
    axes = pl.imputed(other, recorded, gene, return_ax=True)
    expected = pl.imputed(spatial, imputed, gene, return_ax=True)
    for ax, of_plain in zip(axes, expected, strict=True):
        found, points = ax.collections[0], of_plain.collections[0]
        np.testing.assert_allclose(found.get_array(), points.get_array(), rtol=1e-5)
        np.testing.assert_allclose(found.get_offsets()[:, ::-1], points.get_offsets())
    [measured, _] = pl.imputed(other, recorded, gene, expression="normalized", return_ax=True)
    assert set(measured.collections[0].get_array()) == {0.5}


def test_axes_and_file_of_the_user(spatial, imputed, tmp_path):
    _, axes = plt.subplots(1, 2)
    assert pl.imputed(spatial, imputed, spatial.var_names[0], ax=axes, save=tmp_path / "x.png") is None
    assert axes[0].get_title()
    assert (tmp_path / "x.png").stat().st_size > 0
    with pytest.raises(ValueError, match="2 axes; expected 3"):
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
    with pytest.raises(ValueError, match="`genes` is empty"):
        pl.imputed(spatial, imputed, [])
    with pytest.raises(KeyError, match="place"):
        pl.imputed(spatial, imputed, gene, spatial_key="place")
    with pytest.raises(KeyError, match="library"):
        pl.imputed(spatial, imputed, gene, library_key="library")
    with pytest.raises(ValueError, match="different cells"):
        pl.imputed(spatial, imputed[:10], gene)
    bare = imputed.copy()
    del bare.layers["lower"]
    with pytest.raises(KeyError, match=r"interval=0\.9"):
        pl.imputed(spatial, bare, gene, interval=True)


@pytest.mark.parametrize("norm", [mpl.colors.CenteredNorm(1.0), mpl.colors.AsinhNorm()])
def test_a_norm_with_limits_of_its_own_kind_shows_differences(spatial, imputed, norm):
    measured, shown = pl.imputed(spatial, imputed, spatial.var_names[0], norm=norm, return_ax=True)
    assert _limits(measured) == _limits(shown)
    assert np.ptp(shown.collections[0].norm(imputed[:, spatial.var_names[0]].X)) > 0.2


@pytest.mark.parametrize("norm", [mpl.colors.PowerNorm(0.5), mpl.colors.LogNorm(), mpl.colors.Normalize(0.25)])
def test_a_norm_without_limits_gets_those_of_the_gene(spatial, imputed, norm):
    before = (norm.vmin, norm.vmax)
    genes = list(spatial.var_names[:2])
    axes = pl.imputed(spatial, imputed, genes, norm=norm, return_ax=True)
    for of_gene in (axes[:2], axes[2:]):
        assert _limits(of_gene[0]) == _limits(of_gene[1])
        assert type(of_gene[0].collections[0].norm) is type(norm)
        assert _limits(of_gene[0])[0] == before[0] or before[0] is None
        assert 0 <= _limits(of_gene[0])[0] < _limits(of_gene[0])[1]
    assert _limits(axes[0]) != _limits(axes[2])
    assert (norm.vmin, norm.vmax) == before
