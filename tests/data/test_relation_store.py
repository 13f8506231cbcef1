import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from stimpute.data._relation_store import (
    POOLING,
    StoredRelation,
    copy_relations,
    delete_relation,
    has_protein,
    read_relation,
    relation_names,
    write_relation,
)

N_GENES = 5
HAS_VALUES = np.array([True, True, False, True, False])
VECTORS = StoredRelation("protein", "vectors", np.arange(10.0).reshape(5, 2), HAS_VALUES, {"model": "m", "age": None})
EDGES = StoredRelation("net", "edges", sparse.csr_matrix(np.triu(np.ones((5, 5)), 1)), HAS_VALUES, {"directed": True})


@pytest.fixture
def reference():
    adata = AnnData(np.ones((3, N_GENES), np.float32), var=pd.DataFrame(index=list("abcde")))
    for relation in (VECTORS, EDGES):
        write_relation(adata, relation)
    return adata


def dense(values):
    return values.toarray() if sparse.issparse(values) else values


@pytest.mark.parametrize("relation", [VECTORS, EDGES])
def test_what_is_written_is_read(reference, relation):
    found = read_relation(reference, relation.name)
    assert (found.name, found.kind) == (relation.name, relation.kind)
    np.testing.assert_array_equal(dense(found.values), dense(relation.values))
    assert relation.kind == "edges" or found.values.dtype == np.float32
    np.testing.assert_array_equal(found.has_values, HAS_VALUES)
    known = {key: value for key, value in relation.details.items() if value is not None}
    assert dict(found.details) == known


def test_co_expression_is_always_there_and_never_stored(reference):
    assert relation_names(reference) == ["coexpression", "net", "protein"]
    assert relation_names(AnnData(np.ones((2, 2)))) == ["coexpression"]
    with pytest.raises(ValueError, match="another name"):
        write_relation(reference, StoredRelation("coexpression", "vectors", np.ones((5, 2)), HAS_VALUES))


def test_a_relation_of_the_same_name_is_replaced_with_all_that_belongs_to_it(reference):
    write_relation(reference, StoredRelation("protein", "edges", EDGES.values, ~HAS_VALUES))
    assert "protein" not in reference.varm
    found = read_relation(reference, "protein")
    assert found.kind == "edges"
    assert found.details == {}
    np.testing.assert_array_equal(found.has_values, ~HAS_VALUES)


def test_deleting_leaves_no_trace_and_nothing_else(reference):
    reference.uns["stimpute"]["other"] = 1
    delete_relation(reference, "protein")
    assert relation_names(reference) == ["coexpression", "net"]
    assert list(reference.varm) == []
    assert list(reference.var) == ["has_net"]
    assert reference.uns["stimpute"]["other"] == 1
    delete_relation(reference, "protein")  # nothing to do
    delete_relation(reference, "never")
    assert relation_names(reference) == ["coexpression", "net"]


def test_arrays_of_others_are_not_deleted(reference):
    reference.varm["pca"] = np.ones((N_GENES, 2))
    reference.var["has_pca"] = True
    delete_relation(reference, "pca")
    assert "pca" in reference.varm
    assert "has_pca" in reference.var


@pytest.mark.parametrize("change", ["write", "replace", "delete"])
@pytest.mark.filterwarnings("ignore:.*view")
def test_changing_a_view_leaves_its_parent_as_it_was(reference, change):
    before = reference.copy()
    view = reference[:, ["d", "a", "b"]]
    new = StoredRelation("new" if change == "write" else "protein", "vectors", np.ones((3, 4)), np.ones(3, bool))
    if change == "delete":
        delete_relation(view, "protein")
        assert relation_names(view) == ["coexpression", "net"]
    else:
        write_relation(view, new)
        np.testing.assert_array_equal(read_relation(view, new.name).values, np.ones((3, 4)))
    assert relation_names(reference) == ["coexpression", "net", "protein"]
    np.testing.assert_array_equal(reference.varm["protein"], before.varm["protein"])
    pd.testing.assert_frame_equal(reference.var, before.var)
    assert list(reference.varm) == list(before.varm)


def test_a_view_is_read_with_its_genes_in_their_order(reference):
    view = reference[:, ["d", "a"]]
    np.testing.assert_array_equal(read_relation(view, "protein").values, VECTORS.values[[3, 0]])
    found = read_relation(view, "net")
    np.testing.assert_array_equal(dense(found.values), dense(EDGES.values)[np.ix_([3, 0], [3, 0])])
    assert found.has_values.tolist() == [True, True]
    assert view.is_view


def test_relations_are_copied_and_their_source_does_not_change(reference):
    target = AnnData(np.ones((2, N_GENES), np.float32), var=pd.DataFrame(index=list("abcde")))
    copy_relations(reference, target, ["coexpression", "protein", "net"])
    assert relation_names(target) == relation_names(reference)
    assert read_relation(target, "net").details == {"directed": True}
    np.testing.assert_array_equal(read_relation(target, "protein").values, VECTORS.values)
    delete_relation(target, "protein")
    write_relation(target, StoredRelation("net", "vectors", np.zeros((5, 2)), ~HAS_VALUES))
    np.testing.assert_array_equal(read_relation(reference, "protein").values, VECTORS.values)
    assert read_relation(reference, "net").kind == "edges"


def test_one_missing_relation_is_named(reference):
    with pytest.raises(KeyError, match=r"no relation 'kegg'; it has \['coexpression', 'net', 'protein'\]"):
        copy_relations(reference, reference.copy(), ["kegg"])
    del reference.varp["net"]
    with pytest.raises(KeyError, match="'net' is not in `reference.varp`"):
        read_relation(reference, "net")


def test_genes_with_a_protein_are_those_of_any_relation_that_was_made_from_proteins(reference):
    assert has_protein(reference, []).tolist() == HAS_VALUES.tolist()
    only_fifth = np.arange(N_GENES) == 4
    write_relation(reference, StoredRelation("other", "vectors", np.ones((5, 2)), only_fifth, {POOLING: "mean"}))
    write_relation(reference, StoredRelation("sets", "vectors", np.ones((5, 2)), np.ones(5, bool)))
    assert has_protein(reference, ["sets", "net"]).tolist() == HAS_VALUES.tolist()
    found = has_protein(reference, ["sets", "other", "unknown"])
    assert found.tolist() == (HAS_VALUES | only_fifth).tolist()
    assert found.dtype == bool
    assert has_protein(AnnData(np.ones((2, 3))), ["protein"]).tolist() == [False] * 3
