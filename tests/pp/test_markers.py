import numpy as np
import pandas as pd
import pytest

from stimpute import pp


@pytest.fixture
def table():
    return pd.DataFrame(
        {
            "cell_type": ["neuron", "neuron", "glia", "glia", "glia"],
            "gene": ["Rbfox3", "Snap25", "Gfap", "Gfap", None],
            "score": [1.0, 3.0, 2.0, 7.0, 1.0],
        }
    )


def test_each_cell_type_is_a_row(table):
    reference = pp.marker_reference(table, score="score")
    assert list(reference.obs_names) == ["glia", "neuron"]
    assert list(reference.var_names) == ["Gfap", "Rbfox3", "Snap25"]
    expected = np.log1p([[7, 0, 0], [0, 1, 3]])
    np.testing.assert_allclose(reference.X.toarray(), expected, rtol=1e-6)
    assert reference.obs["cell_type"].tolist() == ["glia", "neuron"]


def test_without_scores_every_marker_counts_the_same(table):
    values = pp.marker_reference(table).X.toarray()
    assert set(np.unique(values)) == {0, np.float32(np.log(2))}


def test_a_file_with_other_columns(table, tmp_path):
    path = tmp_path / "markers.csv"
    table.rename(columns={"cell_type": "cell type", "gene": "symbol"}).to_csv(path, index=False)
    reference = pp.marker_reference(path, cell_type="cell type", gene="symbol")
    assert reference.shape == (2, 3)


def test_bad_tables_are_refused(table):
    with pytest.raises(KeyError, match="symbol"):
        pp.marker_reference(table, gene="symbol")
    with pytest.raises(ValueError, match="negative"):
        pp.marker_reference(table.assign(score=-1), score="score")
    with pytest.raises(ValueError, match="at least two"):
        pp.marker_reference(table[table["cell_type"] == "glia"])
