"""Text tables are read as they are meant, however they were saved, and are refused where numbers would be wrong."""

import gzip

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from stimpute.datasets import _text_rows, read

PLAIN = "cell,x,y,kind,A,B\nc1,1,2,n,3,0\nc2,4,5,m,0,7\n"


def written(tmp_path, text, name="cells.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\n\ncell,A,B\n\nc1,1,2\n\nc2,3,4\n", id="blank lines"),
        pytest.param("# version 1\n#by me, on Monday, at 9, and 10\ncell,A,B\nc1,1,2\nc2,3,4\n", id="comments"),
        pytest.param("#cell,A,B\nc1,1,2\nc2,3,4\n", id="names after a number sign"),
        pytest.param("cell, A, B\nc1, 1, 2\nc2, 3, 4\n", id="spaces"),
        pytest.param("cell,A,B,\nc1,1,2,\nc2,3,4,\n", id="comma at the end of each line"),
        pytest.param("cell,A,B\nc1,1,2,\nc2,3,4,\n", id="comma at the end of each row"),
        pytest.param("A,B\nc1,1,2\nc2,3,4\n", id="as R writes it"),
    ],
)
def test_however_a_table_was_saved_its_genes_keep_their_values(tmp_path, text):
    found = read(written(tmp_path, text))
    assert list(found.obs_names) == ["c1", "c2"]
    assert list(found.var_names) == ["A", "B"]
    assert not list(found.obs)
    np.testing.assert_array_equal(found.X.toarray(), [[1, 2], [3, 4]])


@pytest.mark.parametrize("name", ["U.CSV", "U.TSV", "U.CSV.GZ", "U.H5AD"])
def test_endings_in_capitals(tmp_path, name):
    expected = read(written(tmp_path, PLAIN))
    if name == "U.H5AD":
        expected.write_h5ad(tmp_path / name)
    else:
        text = (PLAIN.replace(",", "\t") if "TSV" in name else PLAIN).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if "GZ" in name else text)
    found = read(tmp_path / name)
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())
    np.testing.assert_array_equal(found.obsm["spatial"], expected.obsm["spatial"])


@pytest.mark.parametrize(("first", "last"), [("1", "unassigned"), ("01", ""), ("1.50", "NA"), ("TRUE", "None")])
@pytest.mark.parametrize("n_at_once", [2**24, 20])
def test_labels_are_the_text_of_the_file(tmp_path, monkeypatch, first, last, n_at_once):
    """However many rows are read at once; the last label alone may tell that the others are no numbers."""
    monkeypatch.setattr(_text_rows, "VALUES_AT_ONCE", n_at_once)
    labels = [first] * 20 + [last, "q"]
    rows = [f"c{number},{label},{number}" for number, label in enumerate(labels)]
    found = read(written(tmp_path, "\n".join(["cell,cluster,A", *rows])))
    assert list(found.var_names) == ["A"]
    assert found.obs["cluster"].tolist() == [label or pytest.approx(np.nan, nan_ok=True) for label in labels]
    np.testing.assert_array_equal(found.X.toarray()[:, 0], range(22))
    found.write_h5ad(tmp_path / "cells.h5ad")
    assert set(ad.read_h5ad(tmp_path / "cells.h5ad").obs["cluster"].dropna()) == {first, last, "q"} - {""}


def test_a_large_block_of_numbers_before_the_first_text(tmp_path):
    """As pandas reads it in several parts, of which the first ones are numbers."""
    labels = [3] * 300_000 + ["unassigned"]
    pd.DataFrame({"cluster": labels, "A": 1}).rename(lambda number: f"c{number}").to_csv(tmp_path / "cells.csv")
    assert set(read(tmp_path / "cells.csv").obs["cluster"]) == {"3", "unassigned"}


def test_an_empty_column_is_annotation_and_true_and_false_stay(tmp_path):
    found = read(written(tmp_path, "cell,note,is_in,kind,A\nc1,,True,None,3\nc2,,False,Astro,4\n"))
    assert list(found.var_names) == ["A"]
    assert found.obs["note"].isna().all()
    assert found.obs["is_in"].tolist() == [True, False]
    assert found.obs["kind"].tolist() == ["None", "Astro"]
    found.write_h5ad(tmp_path / "cells.h5ad")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cell,A,B\nc1,1,2\nc2,3\n", r"cells\.csv has no number for the cell 'c2' in the column 'B'.*cut off"),
        ("cell,A,B\nc1,1,2\nc2,NA,3\n", "no number for the cell 'c2' in the column 'A'"),
        ("cell,A\nc1,1,2,5\n", r"cells\.csv has 2 names of columns, but 4 fields in the first row"),
        ("cell,A,B,\nc1,1,2,5,6\n", "4 names of columns, but 5 fields"),
        ("cell,x,y,A\nc1,1,2,3\nc2,left,1,2\n", r"cells\.csv has 'left' in the column 'x' of the cell 'c2'"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path, text))
