import os

import anndata as ad
import numpy as np
import platform_folders
import pytest

from stimpute.cli._files import (
    check_different,
    check_output_file,
    check_output_folder,
    figure_names,
    is_fasta,
    read_gene_list,
)
from stimpute.datasets import _spatialdata


def test_figures_have_safe_and_unique_names():
    genes = ["Rorb", "HLA-A/B", "../X", "HLA-A_B", "rorb", "..", "", "a b", "x" * 300, "\0"]
    names = figure_names(genes)
    assert list(names) == genes
    assert names["Rorb"] == "Rorb.png"
    assert names["HLA-A/B"] == "HLA-A_B.png"
    assert names["HLA-A_B"] == "HLA-A_B_2.png"
    assert names["rorb"] == "rorb_2.png"  # some file systems ignore case
    assert len({name.lower() for name in names.values()}) == len(genes)
    for name in names.values():
        assert os.path.basename(name) == name
        assert not name.startswith(".")
        assert len(name) < 255


def test_gene_lists(tmp_path):
    assert read_gene_list(None) is None
    assert read_gene_list("Rorb, Cux2,") == ["Rorb", "Cux2"]
    path = tmp_path / "genes.txt"
    path.write_text("Rorb\n\nCux2 \nRorb\n")
    assert read_gene_list(str(path)) == ["Rorb", "Cux2"]
    many = ",".join(f"Gene{i}" for i in range(1000))
    assert len(read_gene_list(many)) == 1000
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_gene_list(str(tmp_path / "none.txt"))


def test_two_outputs_have_two_names(tmp_path):
    check_different(out=tmp_path / "a.zarr", save_model=tmp_path / "b", plots=None)
    with pytest.raises(ValueError, match=r"--out and --save-model are both .*a\.zarr. Give one of them another name"):
        check_different(out=tmp_path / "a.zarr", plots=None, save_model=tmp_path / "a.zarr")


def test_fasta_files_are_known_by_their_name(tmp_path):
    assert is_fasta(tmp_path / "a.fa")
    assert is_fasta(tmp_path / "a.fasta.gz")
    assert not is_fasta(tmp_path / "a.txt")


def test_outputs_are_checked(tmp_path):
    check_output_file("--out", None, (".csv",))
    check_output_file("--out", tmp_path / "a.csv", (".csv",), new=True)
    check_output_folder("--plots", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"--out is .*ends in \.csv or \.tsv"):
        check_output_file("--out", tmp_path / "a.txt", (".csv", ".tsv"))
    with pytest.raises(FileNotFoundError, match="Make it first"):
        check_output_file("--out", tmp_path / "none" / "a.csv", (".csv",))
    with pytest.raises(FileExistsError, match="remove it first"):
        check_output_folder("--model", tmp_path, new=True)
    with pytest.raises(NotADirectoryError, match="which is a file"):
        check_output_folder("--plots", tmp_path / "file")


# ------------------------------------------------------------ formats


def test_other_formats_give_the_same_result(run, data, fast, tmp_path):
    spatial = ad.read_h5ad(data[1])
    x, y = spatial.obsm["spatial"].T
    spatial.to_df().assign(x=x, y=y).to_csv(tmp_path / "cells.csv")
    platform_folders.write_10x_h5(tmp_path / "reference.h5", ad.read_h5ad(data[3]))
    assert run("impute", *data, *fast, "-o", "plain.h5ad", "-q").status == 0
    others = ("--spatial", "cells.csv", "--reference", "reference.h5")
    result = run("impute", *others, *fast, "-o", "other.h5ad", "-q")
    assert (result.status, result.err) == (0, "")
    plain = ad.read_h5ad(tmp_path / "plain.h5ad")
    np.testing.assert_allclose(ad.read_h5ad(tmp_path / "other.h5ad").X, plain.X, rtol=1e-4, atol=1e-4)


def test_a_platform_whose_reader_is_not_installed_is_named(run, data, tmp_path, monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_spatialdata, "import_module", missing)
    folder = platform_folders.write_xenium(tmp_path / "region_0", ad.read_h5ad(data[1]))
    result = run("validate", "--spatial", folder, *data[2:])
    assert result.status == 2
    assert f"{folder} is read by `spatialdata_io.xenium`" in result.err
    assert "pip install '.[platforms]'" in result.err


def test_a_gene_list_of_a_spreadsheet_has_a_byte_order_mark(tmp_path):
    path = tmp_path / "genes.csv"
    path.write_bytes("Rorb\r\nCux2\r\n".encode("utf-8-sig"))
    assert read_gene_list(str(path)) == ["Rorb", "Cux2"]


def test_a_folder_that_is_there_is_checked_itself(tmp_path, monkeypatch):
    """Its parent need not be writable; root can write anywhere, so that the answer of the system is replaced."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path == inside)
    check_output_folder("--plots", inside)
    with pytest.raises(PermissionError, match="cannot be written to"):
        check_output_folder("--plots", tmp_path / "new")
    monkeypatch.setattr(os, "access", lambda path, mode: path == tmp_path)
    check_output_folder("--plots", tmp_path / "new")
    with pytest.raises(PermissionError, match="inside, but the folder .*inside cannot be written to"):
        check_output_folder("--plots", inside)
