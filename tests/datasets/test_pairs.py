import os
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pytest

from stimpute.datasets import _pairs, merfish_hypothalamus, osmfish_cortex, starmap_visual_cortex

DATA = Path(os.environ.get("STIMPUTE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def _write(folder, names):
    folder.mkdir(parents=True)
    for name in names:
        ad.AnnData(np.ones((2, 3), np.float32)).write_h5ad(folder / f"{name}.h5ad")


def test_a_local_copy_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(_pairs, "_download", lambda url: pytest.fail("downloaded"))
    _write(tmp_path / "OSMFISH", ["spatial", "reference", "reference_mop500"])
    for reference in ("ssp", "mop500"):
        spatial, other = osmfish_cortex(reference, data_dir=tmp_path)
        assert spatial.shape == other.shape == (2, 3)


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIMPUTE_DATA", str(tmp_path))
    _write(tmp_path / "STARMAP_V1", ["spatial", "reference"])
    assert starmap_visual_cortex()[0].n_obs == 2


def test_without_a_copy_the_error_says_where_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="dryad.8t8s248.*data_dir"):
        merfish_hypothalamus(data_dir=tmp_path)

    def offline(url):
        raise OSError("no network")

    monkeypatch.setattr(_pairs, "_download", offline)
    with pytest.raises(FileNotFoundError, match="linnarssonlab.*no network.*by hand"):
        osmfish_cortex(data_dir=tmp_path)


def test_unknown_reference():
    with pytest.raises(ValueError, match="mop500"):
        osmfish_cortex("zeisel")


@pytest.mark.filterwarnings("ignore:No checksum is published")
def test_the_published_loom_is_converted(tmp_path, monkeypatch):
    path = tmp_path / "x.loom"
    with h5py.File(path, "w") as loom:
        loom["matrix"] = np.arange(6).reshape(2, 3)
        loom["row_attrs/Gene"] = np.array(["Gad2", "Rorb"], "S")
        columns = {"CellID": [7, 8, 9], "X": [0.0, 1.0, 2.0], "Y": [3.0, 4.0, 5.0], "Valid": [1, 0, 1]}
        columns |= {name: np.array(["a", "b", "c"], "S") for name in ("ClusterName", "Region")}
        for name, values in columns.items():
            loom[f"col_attrs/{name}"] = values
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    monkeypatch.setattr(_pairs, "_download", lambda url: path)
    adata = _pairs._load("OSMFISH/spatial.h5ad", None, "", "url", _pairs.read_osmfish_loom)
    assert list(adata.obs_names) == ["7", "9"]
    assert list(adata.obs["cell_type"]) == ["a", "c"]
    np.testing.assert_array_equal(adata[:, "Rorb"].X.toarray().ravel(), [3, 5])
    np.testing.assert_array_equal(adata.obsm["spatial"], [[0, 3], [2, 5]])


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (lambda folder: osmfish_cortex(data_dir=folder), "OSMFISH/spatial"),
        (lambda folder: starmap_visual_cortex(data_dir=folder), "STARMAP_V1/spatial"),
        (lambda folder: merfish_hypothalamus("other", data_dir=folder), "MERFISH_HYPOTHALAMUS/other"),
    ],
)
def test_the_first_missing_file_is_named(tmp_path, monkeypatch, load, name):
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    monkeypatch.setattr(_pairs, "OSMFISH_LOOM", "file:///nowhere")
    with pytest.raises(FileNotFoundError, match=f"{name}.h5ad is not in"):
        load(tmp_path)


def test_downloads_that_are_not_counts_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    ad.AnnData(np.full((2, 2), 0.5, np.float32)).write_h5ad(tmp_path / "x.h5ad")
    monkeypatch.setattr(_pairs, "_download", lambda url: tmp_path / "x.h5ad")
    with pytest.raises(FileNotFoundError, match="Expected raw counts.*not an integer"):
        _pairs._load("OSMFISH/reference.h5ad", None, "here", "url")


@pytest.mark.real
@pytest.mark.skipif(not DATA.is_dir(), reason="the real pairs are absent")
@pytest.mark.parametrize(
    ("load", "shapes"),
    [
        (lambda: osmfish_cortex("mop500", data_dir=DATA), [(4839, 33), (11444, 500)]),
        (lambda: merfish_hypothalamus(data_dir=DATA), [(5516, 135), (845, 16257)]),
        (lambda: starmap_visual_cortex(data_dir=DATA), [(930, 996), (11444, 500)]),
    ],
)
@pytest.mark.slow
def test_real_pairs(load, shapes):
    pair = load()
    assert [adata.shape for adata in pair] == shapes
    assert "spatial" in pair[0].obsm


# ---------------------------------------------------------------- simulated stand-ins


@pytest.mark.parametrize(
    ("loader", "arguments", "n_shared", "genes"),
    [
        (osmfish_cortex, ("ssp",), 33, ["Rorb", "Plp1"]),
        (osmfish_cortex, ("mop500",), 16, ["Plp1", "Mbp", "Foxp2"]),
        (merfish_hypothalamus, (), 60, ["Gad1", "Gad2", "Slc32a1"]),
        (starmap_visual_cortex, (), 200, []),
    ],
)
def test_a_simulated_tissue_takes_the_place_of_data_that_cannot_be_had(
    loader, arguments, n_shared, genes, tmp_path, monkeypatch
):
    def offline(url):
        raise OSError("no network")

    monkeypatch.setattr(_pairs, "_download", offline)
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    with pytest.warns(UserWarning, match="A simulated tissue takes the place"):
        spatial, reference = loader(*arguments, data_dir=tmp_path, simulate=True)
    assert spatial.var_names.isin(reference.var_names).sum() == n_shared
    assert reference.var_names.isin(genes).sum() == len(genes)
    assert spatial.var_names.is_unique
    assert reference.var_names.is_unique
    assert spatial.obsm["spatial"].shape == (spatial.n_obs, 2)


def test_the_other_animal_is_another_part_of_the_simulated_tissue(tmp_path, monkeypatch):
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    with pytest.warns(UserWarning, match="A simulated tissue"):
        one, _ = merfish_hypothalamus(data_dir=tmp_path, simulate=True)
    with pytest.warns(UserWarning, match="A simulated tissue"):
        other, _ = merfish_hypothalamus("another", data_dir=tmp_path, simulate=True)
    assert not one.obs_names.isin(other.obs_names).any()
    assert list(one.var_names) == list(other.var_names)
