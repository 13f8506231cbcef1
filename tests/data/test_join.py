import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from stimpute import pp
from stimpute.data._join import join_references, joined_setup
from stimpute.data._relation_store import StoredRelation, read_relation, write_relation


def make(genes, n_cells=4, seed=0, **obs):
    counts = np.random.default_rng(seed).poisson(2.0, (n_cells, len(genes))).astype(np.float32)
    cells = pd.DataFrame(obs, index=[f"cell{i}" for i in range(n_cells)])
    return AnnData(sparse.csr_matrix(counts), obs=cells, var=pd.DataFrame(index=list(genes)))


def add_vectors(adata, vectors):
    vectors = np.array(vectors, np.float32)
    write_relation(adata, StoredRelation("protein", "vectors", vectors, vectors.any(1), {"coverage": 0.5}))


def test_genes_are_the_union_and_counts_stay_where_they_were():
    first = make("abc")
    second = make("dbe", n_cells=3, seed=1)
    joined = join_references({"cortex": first, "striatum": second})
    assert list(joined.var_names) == ["a", "b", "c", "d", "e"]
    assert joined.obs["dataset"].tolist() == ["cortex"] * 4 + ["striatum"] * 3
    assert joined.obs["dataset"].cat.categories.tolist() == ["cortex", "striatum"]
    np.testing.assert_array_equal(joined[:4, list("abc")].X.toarray(), first.X.toarray())
    np.testing.assert_array_equal(joined[4:, list("dbe")].X.toarray(), second.X.toarray())
    assert joined[:4, list("de")].X.nnz == 0
    assert sparse.issparse(joined.X)


def test_the_order_of_the_references_is_that_of_their_importance():
    joined = join_references({"striatum": make("abc"), "cortex": make("abc")})
    assert joined.obs["dataset"].cat.categories.tolist() == ["striatum", "cortex"]


def test_references_of_a_list_are_numbered():
    joined = join_references([make("abc"), make("abc")])
    assert joined.obs["dataset"].cat.categories.tolist() == ["1", "2"]


def test_columns_of_genes_are_those_of_the_first_reference_that_has_them():
    first, second = make("ab"), make("bc")
    first.var["length"] = [1.0, 2]
    second.var["length"] = [5.0, 6]
    joined = join_references([first, second])
    assert joined.var["length"].tolist()[:2] == [1, 2]


def test_cells_with_equal_names_can_be_told_apart():
    joined = join_references({"x": make("ab"), "y": make("ab")})
    assert joined.obs_names.is_unique
    assert joined.obs_names[0] == "cell0-x"


def test_labels_of_all_references_are_kept():
    joined = join_references([make("ab", kind=list("uuvv")), make("ab", n_cells=2, layer=[1, 2])])
    assert joined.obs["kind"].tolist()[:4] == list("uuvv")
    assert joined.obs["kind"].isna().sum() == 2
    assert joined.obs["layer"].tolist()[4:] == [1, 2]


def test_the_inputs_are_not_changed():
    first, second = make("abc"), make("cd")
    before = first.copy(), second.copy()
    join_references([first, second])
    for old, new in zip(before, (first, second), strict=True):
        assert list(new.obs) == list(old.obs)
        np.testing.assert_array_equal(new.X.toarray(), old.X.toarray())


def test_counts_are_log_normalized_beside_a_normalized_reference():
    counts = make("abc")
    normalized = make("ab")
    normalized.X = normalized.X * 0.5
    setups = {"y": {"expression": "normalized"}}
    joined = join_references({"x": counts, "y": normalized}, setups)
    totals = counts.X.toarray().sum(1, keepdims=True)
    expected = np.log1p(counts.X.toarray() / totals * np.median(totals))
    np.testing.assert_allclose(joined[:4, list("abc")].X.toarray(), expected, rtol=1e-5)
    np.testing.assert_allclose(joined[4:, list("ab")].X.toarray(), normalized.X.toarray())
    assert joined_setup(setups) == {"expression": "normalized", "dataset_key": "dataset"}
    assert joined_setup({"x": {}}) == {"expression": "counts", "dataset_key": "dataset"}


def test_layers_and_gene_symbols_are_read():
    adata = make("ab")
    adata.layers["raw"] = adata.X * 3
    adata.var["symbol"] = ["A", "B"]
    joined = join_references({"x": adata}, {"x": {"layer": "raw", "gene_symbols": "symbol"}})
    assert list(joined.var_names) == ["A", "B"]
    np.testing.assert_array_equal(joined.X.toarray(), 3 * adata.X.toarray())


def test_vectors_of_a_gene_come_from_the_first_reference_that_has_any():
    first, second = make("abc"), make("bcd", seed=1)
    add_vectors(first, [[1, 0], [0, 1], [0, 0]])
    add_vectors(second, [[5, 5], [0, 0], [2, 3]])
    stored = read_relation(join_references([first, second]), "protein")
    np.testing.assert_array_equal(stored.values, [[1, 0], [0, 1], [0, 0], [2, 3]])
    assert stored.has_values.tolist() == [True, True, False, True]
    assert stored.details["coverage"] == 0.75


def test_a_relation_that_one_reference_has_is_kept_with_its_details():
    first, second = make("abc"), make("bcd", seed=1)
    vectors = np.array([[5, 5], [0, 0], [2, 3]], np.float32)
    details = {"source": "a file", "coverage": 2 / 3}
    write_relation(second, StoredRelation("protein", "vectors", vectors, vectors.any(1), details))
    stored = read_relation(join_references([first, second]), "protein")
    np.testing.assert_array_equal(stored.values, [[0, 0], [5, 5], [0, 0], [2, 3]])
    assert stored.details == {"source": "a file", "coverage": 0.5}


def test_edges_of_a_gene_come_from_the_first_reference_that_has_any():
    first, second = make("abc"), make("bcd", seed=1)
    pp.add_gene_network(first, pd.DataFrame({"source": ["a"], "target": ["b"], "weight": [1.0]}), "ppi")
    edges = pd.DataFrame({"source": ["b", "c"], "target": ["c", "d"], "weight": [0.5, 2.0]})
    pp.add_gene_network(second, edges, "ppi")
    joined = join_references([first, second])
    stored = read_relation(joined, "ppi")
    assert sparse.issparse(joined.varp["ppi"])
    expected = pd.DataFrame(stored.values.toarray(), joined.var_names, joined.var_names)
    alone = read_relation(first, "ppi").values.toarray()
    np.testing.assert_array_equal(expected.loc[["a", "b"], ["a", "b", "c"]], alone[:2])
    assert expected.loc["c", "d"] or expected.loc["d", "c"]
    assert stored.has_values.tolist() == [True] * 4


@pytest.mark.parametrize(
    ("references", "error", "message"),
    [
        ([], ValueError, "at least one"),
        ({"cortex/layer 4": make("ab")}, ValueError, "slashes"),
        ({" ": make("ab")}, ValueError, "slashes"),
        ([make("ab"), "reference.h5ad"], TypeError, "reference '2'"),
        ({"x": make("ab"), "y": None}, TypeError, "reference 'y'"),
    ],
)
def test_what_is_no_reference_is_refused(references, error, message):
    with pytest.raises(error, match=message):
        join_references(references)


def test_setups_of_unknown_references_are_refused():
    with pytest.raises(KeyError, match="cortx"):
        join_references({"cortex": make("ab")}, {"cortx": {}})


def test_relations_of_one_name_must_be_of_one_kind():
    first, second = make("abc"), make("abc")
    add_vectors(first, np.ones((3, 2)))
    add_vectors(second, np.ones((3, 3)))
    with pytest.raises(ValueError, match="length"):
        join_references([first, second])
