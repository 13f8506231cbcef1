"""The pairs of the paper, on small files with the layout of the published ones."""

import hashlib
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pooch
import pytest
from scipy.io import mmwrite
from scipy.sparse import coo_matrix

from stimpute import datasets
from stimpute.datasets import _pairs, _published

N_REFERENCE = 12  # cells; every gene but the last is in ten of them


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """Look nowhere but in the folder that is passed, and keep downloads in a temporary folder."""
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")


def counts(n_genes, n_cells=N_REFERENCE):
    values = np.ones((n_genes, n_cells), int)
    values[-1, 3:] = 0
    return values


def write_osmfish(folder):
    with h5py.File(folder / _published.OSMFISH, "w") as loom:
        loom["matrix"] = np.arange(6).reshape(2, 3)
        loom["row_attrs/Gene"] = np.array(["Gad2", "Rorb"], "S")
        columns = {"CellID": [7, 8, 9], "X": [0.0, 1.0, 2.0], "Y": [3.0, 4.0, 5.0], "Valid": [1, 1, 1]}
        columns |= {"ClusterName": np.array(["a", "b", "c"], "S")}
        columns |= {"Region": np.array(["Layer 4", "White matter", "Pia Layer 1"], "S")}
        for name, values in columns.items():
            loom[f"col_attrs/{name}"] = values


def write_visp(folder):
    matrix, rows, columns = _published.VISP
    pd.DataFrame(counts(3), index=[11, 12, 13]).to_csv(folder / matrix)
    pd.DataFrame({"gene_symbol": ["Gad2", "Rorb", "Rare"]}).to_csv(folder / rows)
    pd.DataFrame({"class": ["GABAergic"] * 11 + ["No Class"]}).to_csv(folder / columns)


def write_ssp(folder):
    pd.DataFrame(counts(3), index=["Gad2", "Rorb", "Rare"]).to_csv(folder / _published.SSP)


def write_zeisel(folder):
    annotations = [["", name, *[value] * N_REFERENCE] for name, value in (("tissue", "sscortex"), ("sex", "1"))]
    annotations[0][-1] = "ca1hippocampus"
    genes = [[name, "1", *row] for name, row in zip(["Gad2", "Rorb", "Rare"], counts(3), strict=True)]
    table = pd.DataFrame([*annotations, [""] * (N_REFERENCE + 2), *genes])
    table.to_csv(folder / _published.ZEISEL, sep="\t", header=False, index=False)


def write_starmap(folder):
    np.save(folder / _published.STARMAP[0], np.arange(6).reshape(3, 2))
    (folder / _published.STARMAP[1]).write_text("Gad2,ACGT\nRorb,TTTT\n")


def write_merfish(folder):
    table = pd.DataFrame(
        {"Cell_ID": ["a", "b", "c"], "Animal_ID": [1, 1, 2], "Animal_sex": "Female", "Behavior": "Naive"}
    )
    table = table.assign(Bregma=0.26, Centroid_X=[1.0, 2.0, 3.0], Centroid_Y=0.0)
    table = table.assign(
        Cell_class=["Astrocyte", "Ambiguous", "Astrocyte"], Neuron_cluster_ID="", Gad2=0.5, Blank_1=1.0
    )
    table.assign(Fos=1.0, Rorb=[0.0, 1.5, 2.5]).to_csv(folder / _published.MERFISH, index=False)
    matrix, genes, barcodes = _published.MOFFITT
    mmwrite(folder / matrix, coo_matrix(counts(3)))
    (folder / genes).write_text("E1\tGad2\nE2\tRorb\nE3\tRare\n")
    (folder / barcodes).write_text("".join(f"cell{i}\n" for i in range(N_REFERENCE)))


PUBLISHED = {
    "osmFISH_AllenVISp": ((write_osmfish, write_visp), (2, 2), 11),
    "osmFISH_AllenSSp": ((write_osmfish, write_ssp), (2, 2), 12),
    "osmFISH_Zeisel": ((write_osmfish, write_zeisel), (2, 2), 11),
    "STARmap_AllenVISp": ((write_starmap, write_visp), (3, 2), 11),
    "MERFISH_Moffit": ((write_merfish,), (1, 2), 12),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_are_read_wherever_they_are_in_the_folder(name, tmp_path):
    writers, shape, n_reference = PUBLISHED[name]
    inside = tmp_path / name / "data" / "any"
    inside.mkdir(parents=True)
    for write in writers:
        write(inside)
    spatial, reference = datasets.paper_pair(name, data_dir=tmp_path)
    assert spatial.shape == shape
    assert reference.shape == (n_reference, 2)
    assert list(spatial.var_names) == list(reference.var_names) == ["Gad2", "Rorb"]
    assert np.all(reference.X.toarray() == 1)


def test_annotations_of_the_published_files(tmp_path):
    for name, write in (("MERFISH_Moffit", write_merfish), ("osmFISH_AllenSSp", write_osmfish)):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    write_ssp(tmp_path / "osmFISH_AllenSSp")
    merfish, _ = datasets.paper_pair("MERFISH_Moffit", data_dir=tmp_path)
    assert "not counts" in merfish.uns["units"]
    np.testing.assert_array_equal(merfish.obsm["spatial"], [[1, 0]])
    osmfish, _ = datasets.paper_pair("osmFISH_AllenSSp", data_dir=tmp_path)
    assert list(osmfish.obs["region"]) == ["Layer 4", "Pia Layer 1"]


def test_own_files_come_first_in_any_format(tmp_path, monkeypatch):
    folder = tmp_path / "Xenium_GSM5051495"
    folder.mkdir()
    ad.AnnData(np.ones((2, 3), np.float32)).write_h5ad(folder / "reference.h5ad")
    (folder / "spatial.csv").write_text("cell,x,y,Gad2\nc1,0,1,3\n")
    monkeypatch.setenv("STIMPUTE_DATA", str(tmp_path))
    spatial, reference = datasets.paper_pair("Xenium_GSM5051495")
    assert (spatial.shape, reference.shape) == ((1, 1), (2, 3))
    (folder / "spatial.tsv").write_text("cell\tGad2\nc1\t3\n")
    with pytest.raises(ValueError, match="spatial.csv.*expected one"):
        datasets.paper_pair("Xenium_GSM5051495")


@pytest.mark.parametrize("name", datasets.paper_pairs())
def test_without_files_nothing_is_downloaded_and_the_error_says_what_to_get(name, tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "create", lambda **arguments: pytest.fail("downloaded"))
    with pytest.raises(
        FileNotFoundError, match=f"Get the data by hand from .*<folder>/{name}.*data_dir=<folder>"
    ) as error:
        datasets.paper_pair(name, data_dir=tmp_path)
    assert ("download=True" in str(error.value)) == (name in PUBLISHED)


def test_unknown_name():
    with pytest.raises(ValueError, match="OSMFISH.*osmFISH_Zeisel"):
        datasets.paper_pair("OSMFISH")


@pytest.fixture
def record(monkeypatch, tmp_path):
    """Serve a record with one archive, as Zenodo does; yields its description, which a test may change."""
    folder = tmp_path / "served"
    folder.mkdir()
    write_osmfish(folder)
    write_ssp(folder)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"data/{path.name}")
    content = buffer.getvalue()
    files = [{"key": "osmFISH_AllenSSp.zip", "checksum": f"md5:{hashlib.md5(content).hexdigest()}"}]

    class Record(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content if self.path.endswith(".zip") else json.dumps({"id": 1, "files": files}).encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Record)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    files[0]["links"] = {"self": f"{address}/osmFISH_AllenSSp.zip"}
    monkeypatch.setattr(pooch.downloaders, "doi_to_url", lambda doi, **arguments: "https://zenodo.org/records/3967291")
    monkeypatch.setattr(pooch.downloaders.ZenodoRepository, "base_api_url", f"{address}/api")
    yield files
    server.shutdown()
    server.server_close()


def test_an_archive_is_downloaded_when_asked_and_checked(record, tmp_path):
    for _ in range(2):  # the second time from the cache
        spatial, reference = datasets.paper_pair("osmFISH_AllenSSp", data_dir=tmp_path, download=True)
        assert (spatial.shape, reference.shape) == ((2, 2), (12, 2))


def test_an_archive_that_was_changed_is_refused(record, tmp_path):
    record[0]["checksum"] = "md5:" + "0" * 32
    with pytest.raises(FileNotFoundError, match="hash.*by hand"):
        datasets.paper_pair("osmFISH_AllenSSp", data_dir=tmp_path, download=True)


def test_a_record_without_the_pair_says_what_it_has(record):
    with pytest.raises(FileNotFoundError, match="named after 'osmFISH_Zeisel'.*osmFISH_AllenSSp.zip"):
        datasets.paper_pair("osmFISH_Zeisel", download=True)


@pytest.fixture
def source(monkeypatch, tmp_path):
    """Serve one file of which no checksum is published; yields its content, which a test may change."""
    content = {"x": b"data"}

    class Source(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content["x"])

        def log_message(self, *arguments):
            pass

    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    content["url"] = f"http://127.0.0.1:{server.server_port}/x"
    yield content
    server.shutdown()
    server.server_close()


def download(url):
    path = _pairs._download(url)
    _pairs._keep_checksum(path, url)
    return path


def test_a_download_without_a_published_checksum_warns_once(source, recwarn):
    with pytest.warns(UserWarning, match="No checksum is published for http://127.*SHA-256 is 3a6eb079"):
        path = download(source["url"])
    recwarn.clear()
    assert download(source["url"]) == path
    assert path.read_bytes() == b"data"
    assert not recwarn


@pytest.mark.filterwarnings("ignore:No checksum is published")
def test_a_download_that_was_changed_in_the_cache_is_downloaded_again(source):
    path = download(source["url"])
    path.write_bytes(b"other")
    assert download(source["url"]).read_bytes() == b"data"


@pytest.mark.filterwarnings("ignore:No checksum is published")
def test_a_source_that_was_changed_is_refused(source):
    path = download(source["url"])
    path.unlink()
    source["x"] = b"other"
    with pytest.raises(ValueError, match="hash of downloaded file"):
        download(source["url"])
    assert not path.exists()


@pytest.mark.filterwarnings("ignore:No checksum is published")
def test_a_page_in_place_of_a_file_is_asked_for_again(source, monkeypatch, tmp_path):
    """As a network gives that asks for a login: it must not stay in the cache with its own checksum."""
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    source["x"] = b"<html>log in</html>"
    with pytest.raises(FileNotFoundError, match="could not be used"):
        _pairs._load("OSMFISH/reference.h5ad", None, "here", source["url"])
    ad.AnnData(np.ones((3, 2), np.float32)).write_h5ad(tmp_path / "good.h5ad")
    source["x"] = (tmp_path / "good.h5ad").read_bytes()
    assert _pairs._load("OSMFISH/reference.h5ad", None, "here", source["url"]).shape == (3, 2)


@pytest.mark.filterwarnings("ignore:No checksum is published")
def test_a_file_with_a_checksum_stays_where_it_cannot_be_read(source, monkeypatch):
    monkeypatch.delenv("STIMPUTE_DATA", raising=False)
    path = download(source["url"])
    with pytest.raises(FileNotFoundError, match="could not be used"):
        _pairs._load("OSMFISH/reference.h5ad", None, "here", source["url"])
    assert path.read_bytes() == b"data"
