"""Folders of MERSCOPE, CosMx, seqFISH and Xenium that were saved again, renamed, packed or cut off."""

import gzip

import numpy as np
import pandas as pd
import platform_folders as folders
import pytest

from stimpute.datasets import read, synthetic_tissue

WRITERS = {"merscope": folders.write_merscope, "cosmx": folders.write_cosmx, "seqfish": folders.write_seqfish}
COUNTS = {"merscope": "cell_by_gene.csv", "cosmx": "Run1_exprMat_file.csv", "seqfish": "Roi1_CellxGene.csv"}
CELLS = {"merscope": "cell_metadata.csv", "cosmx": "Run1_metadata_file.csv", "seqfish": "Roi1_CellCoordinates.csv"}


@pytest.fixture(scope="module")
def cells():
    return synthetic_tissue(n_cells=20, n_reference=5, n_measured=6, n_unmeasured=2, n_missing_proteins=1).spatial


@pytest.fixture(params=WRITERS)
def output(request, cells, tmp_path):
    """Return the folder of a platform, and its tables of counts and of cells."""
    folder = WRITERS[request.param](tmp_path / "output", cells)
    return folder, folder / COUNTS[request.param], folder / CELLS[request.param]


def same(found, expected):
    assert list(found.obs_names) == list(expected.obs_names)
    assert list(found.var_names) == list(expected.var_names)
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    np.testing.assert_array_equal(found.obsm["spatial"], expected.obsm["spatial"])


@pytest.mark.parametrize("where", ["rows", "rows and names"])
def test_a_comma_at_the_end_of_each_row_does_not_shift_the_genes(output, where):
    folder, *tables = output
    expected = read(folder)
    for table in tables:
        names, *rows = table.read_text().splitlines()
        end = "," if where == "rows and names" else ""
        table.write_text("\n".join([names + end, *(f"{row}," for row in rows)]))
    found = read(folder)
    same(found, expected)
    assert list(found.obs) == list(expected.obs)


def test_more_fields_than_names_are_refused(output):
    folder, counts, _ = output
    names, *rows = counts.read_text().splitlines()
    counts.write_text("\n".join([names, *(f"{row},1" for row in rows)]))
    with pytest.raises(ValueError, match=rf"{counts.name} has \d+ names of columns, but \d+ fields in the first row"):
        read(folder)


def test_a_table_of_counts_that_is_cut_off(output):
    folder, counts, _ = output
    lines = counts.read_text().splitlines()
    counts.write_text("\n".join(lines[:-2]))
    with pytest.warns(UserWarning, match=r"2 of \d+ annotated cells have no row of counts, and are left out"):
        read(folder)
    counts.write_text("\n".join([*lines[:-1], lines[-1].rpartition(",")[0]]))
    with pytest.raises(ValueError, match=rf"{counts.name} has no number for the cell '\w+' in the column '.*cut off"):
        read(folder)


def test_packed_and_beside_files_of_macos(output):
    folder, *_ = output
    expected = read(folder)
    for table in list(folder.glob("*.csv")):
        (folder / f"{table.name}.gz").write_bytes(gzip.compress(table.read_bytes()))
        (folder / f"._{table.name}").write_bytes(b"\0\5\x16")
        table.unlink()
    same(read(folder), expected)


@pytest.mark.parametrize("value", ["", "inf"])
def test_cells_without_a_position_are_left_out(output, value):
    folder, _, places = output
    expected = read(folder)
    table = pd.read_csv(places, dtype=str)
    column = [name for name in table if "center_x" in name or "CenterX_global" in name][0]
    table.loc[0, column] = value
    table.to_csv(places, index=False)
    with pytest.warns(UserWarning, match=r"1 of \d+ cells have no position, and are left out"):
        found = read(folder)
    same(found, expected[1:] if places.name.startswith("cell") else expected[expected.obs_names.isin(found.obs_names)])
    assert found.n_obs == 19
    table.loc[0, column] = "left"
    table.to_csv(places, index=False)
    with pytest.raises(ValueError, match=rf"{places.name} has 'left' in the column '{column}'"):
        read(folder)


def test_no_cell_with_a_position(cells, tmp_path):
    folder = folders.write_merscope(tmp_path / "output", cells)
    places = folder / "cell_metadata.csv"
    pd.read_csv(places, dtype=str).assign(center_x="").to_csv(places, index=False)
    with pytest.raises(ValueError, match=r"cell_metadata\.csv has no cell with numbers in the columns center_x, cent"):
        read(folder)


def test_tables_of_a_platform_are_not_read_alone_as_text(output):
    folder, *tables = output
    for table in tables:
        with pytest.raises(ValueError, match=rf"{table.name} is one of the tables .*give the folder .*output with all"):
            read(table)


@pytest.mark.parametrize(
    "name",
    [
        *("S1_cell_metadata.csv", "Run1_metadata_file.csv.gz", "Run1_fov_positions_file.csv", "barcodes.tsv.gz"),
        *("GSM1_genes.tsv", "cells.csv.gz"),
    ],
)
def test_a_part_of_a_folder_is_not_recommended_as_text(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="has no known format") as error:
        read(tmp_path)
    assert "which can be read" not in str(error.value)
    (tmp_path / "cells.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds cells\.csv, which can be read"):
        read(tmp_path)


# ---------------------------------------------------------------- one platform each


@pytest.mark.parametrize("name", ["S1_{}.csv", "S1_{}_R1.csv"])
def test_merscope_with_prefixes_and_row_numbers(cells, tmp_path, name):
    folder = folders.write_merscope(tmp_path / "output", cells)
    expected = read(folder)
    for table in list(folder.glob("*.csv")):
        saved = pd.read_csv(table, dtype=str)
        saved.iloc[::-1].reset_index(drop=True).to_csv(folder / name.format(table.stem))
        table.unlink()
    found = read(folder)
    same(found, expected[::-1])
    assert list(found.obs) == list(expected.obs)


def test_merscope_prefers_the_files_of_the_instrument_to_copies(cells, tmp_path):
    folder = folders.write_merscope(tmp_path / "output", cells)
    (folder / "cell_by_gene_filtered.csv").write_text("cell,A\n1,1\n")
    assert read(folder).shape == cells.shape


def test_cosmx_with_long_names_of_cells(cells, tmp_path):
    folder = folders.write_cosmx(tmp_path / "output", cells)
    expected = read(folder)
    metadata = folder / "Run1_metadata_file.csv"
    table = pd.read_csv(metadata, dtype=str)
    long = table.assign(cell_ID="c_1_" + table["fov"] + "_" + table["cell_ID"])
    long.to_csv(metadata, index=False)
    same(read(folder), expected)
    other_slide = long.assign(cell_ID=long["cell_ID"].str.replace("c_1", "c_2"))
    pd.concat([long, other_slide]).to_csv(metadata, index=False)
    with pytest.raises(ValueError, match=r"no cell of the counts .* the annotation has c_1_1_1_1"):
        read(folder)


def test_cosmx_with_molecules_outside_of_cells_only(cells, tmp_path):
    folder = folders.write_cosmx(tmp_path / "output", cells[:1])
    counts = folder / "Run1_exprMat_file.csv"
    pd.read_csv(counts).assign(cell_ID=0).to_csv(counts, index=False)
    with pytest.raises(ValueError, match=r"Run1_exprMat_file\.csv has only rows with cell_ID 0"):
        read(folder)


def test_regions_of_seqfish_with_brackets(cells, tmp_path):
    found = read(folders.write_seqfish(tmp_path / "output", cells, ("R[1]", "R[2]")))
    assert found.obs["section"].tolist() == ["R[1]"] * 10 + ["R[2]"] * 10


def test_xenium_from_which_cells_were_removed_in_one_file(cells, tmp_path):
    pytest.importorskip("spatialdata_io")
    folder = folders.write_xenium(tmp_path / "output", cells)
    pd.read_parquet(folder / "cells.parquet")[3:].to_parquet(folder / "cells.parquet")
    with pytest.raises(ValueError, match=r"output does not fit together: cells\.parquet.*leave out cells after"):
        read(folder)
