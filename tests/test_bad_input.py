"""Bad input is answered with the key, what was found, what was expected and the next call."""

from types import SimpleNamespace

import anndata
import numpy as np
import psutil
import pytest
from anndata import AnnData
from scipy import sparse
from small import N_CELLS, bare, fit, set_up, small_pair, values

from stimpute import StImputeModel

setup = StImputeModel.setup_anndata


@pytest.fixture
def spatial(fresh):
    return fresh[0]


@pytest.fixture
def reference(fresh):
    return fresh[1]


def with_value(adata, value, dense):
    x = sparse.csr_matrix(adata.X).toarray().astype(np.float64)
    x[3, 5] = value
    adata.X = x if dense else sparse.csr_matrix(x)
    return adata


# ---------------------------------------------------------------- expression


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0.5, r"raw counts.*'{cell}'.*'{gene}'.*layer=.*expression=\"normalized\""),
        (np.nan, "not finite.*'{cell}'.*'{gene}'"),
        (np.inf, "not finite.*'{cell}'.*'{gene}'"),
        (-1, "negative.*'{cell}'.*'{gene}'"),
    ],
)
def test_values_that_are_not_counts(fresh, value, message, dense):
    for adata in fresh:
        where = {"cell": adata.obs_names[3], "gene": adata.var_names[5]}
        with pytest.raises(ValueError, match=message.format(**where)):
            setup(with_value(adata, value, dense))


def test_normalised_values_need_not_be_integers(spatial):
    setup(with_value(spatial, 0.5, True), expression="normalized")
    with pytest.raises(ValueError, match="negative"):
        setup(with_value(spatial, -0.5, True), expression="normalized")
    with pytest.raises(ValueError, match="not finite"):
        setup(with_value(spatial, np.nan, True), expression="normalized")


def test_a_refused_setup_leaves_nothing_behind(spatial):
    with pytest.raises(ValueError, match="raw counts"):
        setup(with_value(spatial, 0.5, True))
    assert not [key for key in [*spatial.uns, *spatial.obs] if "scvi" in key]


def test_an_unknown_kind_of_expression(spatial):
    with pytest.raises(ValueError, match=r"`expression` is 'log'; expected \"counts\" or \"normalized\""):
        setup(spatial, expression="log")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_nothing_in_it(shape):
    with pytest.raises(ValueError, match="nothing to work on"):
        setup(AnnData(np.zeros(shape, np.float32)))


def test_a_view(spatial):
    with pytest.raises(ValueError, match=r"view.*adata\.copy\(\)"):
        setup(spatial[:20])


def test_a_file_that_is_not_in_memory(spatial, tmp_path):
    spatial.write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(ValueError, match=r"backed.*to_memory\(\)"):
        setup(anndata.read_h5ad(tmp_path / "x.h5ad", backed="r"))


# ---------------------------------------------------------------- names and keys


def test_cells_without_a_batch(spatial):
    spatial.obs["section"] = [None, *["a"] * (spatial.n_obs - 1)]
    with pytest.raises(ValueError, match=r"obs\['section'\].*1 cell"):
        setup(spatial, batch_key="section")


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_duplicated_gene_names(spatial):
    spatial.var_names = [spatial.var_names[1], *spatial.var_names[1:]]
    with pytest.raises(ValueError, match=rf"duplicated gene name.*{spatial.var_names[1]}.*var_names_make_unique"):
        setup(spatial)


@pytest.mark.parametrize("argument", ["layer", "batch_key", "spatial_key", "gene_symbols"])
def test_keys_that_do_not_exist(spatial, argument):
    with pytest.raises(KeyError, match=r"'nowhere' is not in `adata\.(layers|obs|obsm|var)`, which has"):
        setup(spatial, **{argument: "nowhere"})


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        (
            lambda xy: np.where(np.arange(len(xy))[:, None] < 2, np.nan, xy),
            r"2 cell\(s\) without a finite.*spatial_key=None",
        ),
        (lambda xy: xy[:, :1], r"shape \(150, 1\).*2 or 3 columns"),
        (lambda xy: np.c_[xy, xy], r"shape \(150, 4\)"),
    ],
)
def test_positions_that_are_none(spatial, coords, message):
    spatial.obsm["spatial"] = coords(spatial.obsm["spatial"])
    with pytest.raises(ValueError, match=message):
        setup(spatial)
    setup(spatial, spatial_key=None)


def test_not_set_up(spatial, reference):
    with pytest.raises(ValueError, match="setup_anndata"):
        StImputeModel(spatial, reference)
    setup(spatial)
    with pytest.raises(ValueError, match="setup_anndata"):
        StImputeModel(spatial, reference)


def test_no_reference(spatial):
    setup(spatial)
    with pytest.raises(ValueError, match=r"StImputeModel\(spatial, reference\)"):
        StImputeModel(spatial)


# ---------------------------------------------------------------- shared genes


def test_no_shared_genes(spatial, reference):
    spatial.var_names = [f"ENSMUSG{i:05d}" for i in range(spatial.n_vars)]
    with pytest.raises(ValueError, match=r"Found 0 genes.*ENSMUSG00000.*Gene.*at least 3.*gene_symbols"):
        StImputeModel(*set_up(spatial, reference))


def test_two_shared_genes(spatial, reference):
    spatial.var_names = [*spatial.var_names[:2], *(f"Other{i}" for i in range(spatial.n_vars - 2))]
    with pytest.raises(ValueError, match="Found 2 genes"):
        StImputeModel(*set_up(spatial, reference))


def test_names_that_differ_in_case_only(spatial, reference):
    spatial.var_names = spatial.var_names.str.upper()
    with pytest.raises(ValueError, match="Found 0 genes.*case is ignored"):
        StImputeModel(*set_up(spatial, reference))


def test_shared_genes_that_are_all_zero(spatial, reference):
    spatial.X = np.zeros(spatial.shape, np.float32)
    with (
        pytest.warns(UserWarning, match="24 shared gene"),
        pytest.raises(ValueError, match="zero in every cell|Found 0 genes"),
    ):
        StImputeModel(*set_up(spatial, reference))


# ---------------------------------------------------------------- the model


def test_an_unknown_recipe(pair):
    with pytest.raises(ValueError, match=r"`recipe` is 'papr'; expected one of \[.*'paper'"):
        StImputeModel(*pair, recipe="papr")


def test_an_unknown_hyperparameter(pair, recipe):
    with pytest.raises(TypeError, match=rf"'{recipe}' has no hyperparameter \['n_latnt'\].*'n_latent'"):
        StImputeModel(*pair, recipe=recipe, n_latnt=3)


@pytest.mark.parametrize("name", ["n_latent", "n_neighbors", "n_hidings", "max_cells"])
def test_numbers_that_make_no_sense(pair, recipe, name):
    where = ({}, {name: 0}) if name == "max_cells" else ({name: 0}, {})
    with pytest.raises(ValueError, match=f"`{name}` is 0; expected at least"):
        fit(*pair, recipe, where[1], **where[0])


def test_an_unknown_relation(pair, recipe):
    with pytest.raises(KeyError, match=r"no relation .*string.*protein.*add_relation"):
        StImputeModel(*pair, recipe=recipe, relations="string")


def test_fewer_reference_cells_than_neighbours(recipe):
    pair = set_up(*small_pair(proteins=False, n_reference=20))
    with pytest.raises(ValueError, match=r"20 cells, fewer than n_neighbors=50.*n_neighbors=20"):
        StImputeModel(*pair, recipe=recipe)


def test_not_trained(pair, recipe):
    model = StImputeModel(*pair, recipe=recipe)
    for call in (model.impute, model.get_latent_representation, model.get_neighbors):
        with pytest.raises(RuntimeError, match=r"not trained.*model\.train\(\)"):
            call()


# ---------------------------------------------------------------- impute


def test_unknown_genes_with_their_nearest_spelling(model):
    with pytest.raises(KeyError, match=r"2 gene\(s\) are not in the reference.*gene40.*did you mean Gene40.*Xyz"):
        model.impute(genes=["Gene03", "gene40", "Xyz"])


@pytest.mark.parametrize(("genes", "message"), [([], "`genes` is empty"), (["Gene03", "Gene03"], "repeats Gene03")])
def test_lists_of_genes_that_make_no_sense(model, genes, message):
    with pytest.raises(ValueError, match=message):
        model.impute(genes=genes)


@pytest.mark.parametrize("interval", [0, 1, 1.5, -0.1, np.nan])
def test_impossible_intervals(model, interval, tmp_path):
    with pytest.raises(ValueError, match="`interval` is.*between 0 and 1"):
        model.impute(genes=["Gene40"], interval=interval, out=tmp_path / "x.zarr")
    assert not (tmp_path / "x.zarr").exists()


def test_an_unknown_spread(model):
    with pytest.raises(ValueError, match=r"`spread` is 'wide'; expected \"expected\" or \"matched\""):
        model.impute(genes=["Gene40"], spread="wide")


def test_every_gene_is_measured(recipe):
    spatial, reference = small_pair(proteins=False, n_unmeasured=0)
    model = fit(*set_up(spatial, reference), recipe)
    with pytest.raises(ValueError, match="measured"):
        model.impute(progress=False)
    assert model.impute(genes=["Gene03"], progress=False).n_vars == 1


@pytest.mark.parametrize("batch_size", [0, -1])
def test_impossible_batch_sizes(model, batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        model.impute(genes=["Gene40"], batch_size=batch_size, progress=False)


def test_the_paper_has_no_intervals(model, recipe, tmp_path):
    if recipe == "paper":
        for options in ({"interval": 0.9}, {"spread": "matched"}):
            with pytest.raises(ValueError, match='no intervals.*recipe="crossfit"'):
                model.impute(genes=["Gene40"], out=tmp_path / "x.zarr", progress=False, **options)
            assert not (tmp_path / "x.zarr").exists()
    else:
        result = model.impute(genes=["Gene40", "Gene07"], interval=0.9, progress=False)
        assert set(result.layers) == {"lower", "upper"}
        assert result.layers["lower"].dtype == np.float32
        assert (result.layers["lower"] <= result.X).all()
        assert (result.layers["upper"] >= result.X).all()
        assert result.uns["stimpute"]["interval"] == 0.9
        wider = model.impute(genes=["Gene40", "Gene07"], interval=0.99, progress=False)
        assert (wider.layers["upper"] >= result.layers["upper"] - 1e-6).all()


# ---------------------------------------------------------------- memory and disk


def test_a_result_that_does_not_fit(model, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**13))
    with pytest.raises(MemoryError, match=r"150 cells × 20 genes.*GiB.*`genes=`.*`out=\"imputed\.zarr\"`"):
        model.impute(progress=False)


def test_streaming_to_disk_gives_the_same(model, imputed, pair, tmp_path, monkeypatch):
    with monkeypatch.context() as tight:
        tight.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=2**13))
        result = model.impute(genes=list(imputed.var_names), out=tmp_path / "x.zarr", batch_size=32, progress=False)
    assert result.shape == imputed.shape
    back = anndata.read_zarr(tmp_path / "x.zarr")
    for lazy_or_not in (result.to_memory(), back):
        np.testing.assert_allclose(values(lazy_or_not), imputed.X, atol=1e-5)
        assert lazy_or_not.X.dtype == np.float32
    assert list(back.var_names) == list(imputed.var_names)
    assert list(back.obs_names) == list(imputed.obs_names)
    assert list(back.var.columns) == list(imputed.var.columns)
    np.testing.assert_allclose(back.obsm["spatial"], pair[0].obsm["spatial"])
    assert back.uns["stimpute"]["units"] == imputed.uns["stimpute"]["units"]


def test_intervals_are_streamed_too(model, recipe, tmp_path):
    if recipe == "crossfit":
        model.impute(genes=["Gene40", "Gene07"], interval=0.8, out=tmp_path / "x.zarr", progress=False)
        memory = model.impute(genes=["Gene40", "Gene07"], interval=0.8, progress=False)
        back = anndata.read_zarr(tmp_path / "x.zarr")
        for name in ("lower", "upper"):
            np.testing.assert_allclose(back.layers[name], memory.layers[name], atol=1e-5)


def test_streaming_does_not_overwrite(model, tmp_path):
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(FileExistsError, match=r"x\.zarr exists.*out="):
        model.impute(genes=["Gene40"], out=str(tmp_path / "x.zarr"), progress=False)
    assert (tmp_path / "x.zarr").exists()


def test_streaming_one_cell(model, pair, tmp_path):
    model.impute(bare(pair[0][:1]), genes=["Gene40"], out=tmp_path / "x.zarr", progress=False)
    assert anndata.read_zarr(tmp_path / "x.zarr").shape == (1, 1)
    assert pair[0].n_obs == N_CELLS
