"""How the model reads its two datasets, and what it records of them."""

import json
import warnings

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from small import N_CELLS, N_MEASURED, N_REFERENCE, bare, fit, set_up, shuffled_genes, small_pair

from stimpute import StImputeModel, pp
from stimpute.data._expression import read_expression
from stimpute.model._data import NoCellsError, NoReferenceError
from stimpute.model._read import read_cells, read_pair
from stimpute.model._record import DataRecord
from stimpute.model._reference import is_from_reference
from stimpute.recipes import CrossfitRecipe, PaperRecipe

SETUP = {"layer": None, "batch_key": None, "spatial_key": "spatial", "expression": "counts", "gene_symbols": None}


def read(spatial, reference, recipe=None, relations="auto", **setup):
    return read_pair(spatial, {**SETUP, **setup}, reference, SETUP, recipe or CrossfitRecipe(), relations, {})


@pytest.fixture(scope="module")
def both():
    """Data that were read, and the AnnData; tests may not change them."""
    spatial, reference = small_pair()
    record, attached = read(spatial, reference)
    return spatial, reference, record, attached


def test_the_record_survives_json(both):
    record = both[2]
    assert DataRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record
    assert record.relations == ("coexpression", "protein")
    assert record.reference_shape == (N_REFERENCE, 44)
    assert record.n_cells == N_CELLS


def test_shared_genes_are_in_the_order_of_the_spatial_data(both):
    spatial, reference, record, attached = both
    assert record.shared_genes == tuple(spatial.var_names)
    names = reference.var_names[attached.reference.shared]
    assert tuple(names) == record.shared_genes


def test_what_is_zero_in_the_reference_is_no_input(both):
    """It will be predicted like an unmeasured gene, so that nothing may depend on it."""
    spatial, reference, _, _ = both
    gene = spatial.var_names[4]
    changed = reference.copy()
    changed.X = changed.X.toarray()
    changed.X[:, changed.var_names.get_loc(gene)] = 0
    with pytest.warns(UserWarning, match=rf"1 shared gene\(s\) are zero.*{gene}"):
        record, _ = read(spatial, changed)
    assert gene not in record.shared_genes
    assert gene not in record.input_genes


def test_a_recipe_says_how_relations_are_read(both):
    spatial, reference, _, _ = both
    _, attached = read(spatial, reference, PaperRecipe())
    assert list(attached.reference.relations) == ["protein"]
    assert not attached.reference.relations["protein"].centered
    _, attached = read(spatial, reference, CrossfitRecipe(), ["coexpression"])
    assert list(attached.reference.relations) == ["coexpression"]
    assert attached.reference.relations["coexpression"].centered


def test_the_fingerprint_depends_on_the_data_and_not_on_their_order(both):
    spatial, reference, record, _ = both
    assert read(spatial, shuffled_genes(reference))[0].fingerprint == record.fingerprint
    changed = reference.copy()
    changed.X[0, 0] += 1
    assert read(spatial, changed)[0].fingerprint != record.fingerprint
    assert read(spatial, reference, relations=["protein"])[0].fingerprint != record.fingerprint


# ---------------------------------------------------------------- spatial cells


def test_protein_vectors_are_known_under_any_name(fresh):
    spatial, reference = set_up(*fresh)
    vectors = {gene: np.arange(4.0) + number for number, gene in enumerate(reference.var_names[:9])}
    network = pd.DataFrame({"a": [reference.var_names[-1]], "b": [reference.var_names[0]]})
    pp.add_protein_embeddings(reference, vectors, key_added="esm2")
    pp.add_gene_network(reference, network, "string")
    for relations, expected in (["esm2", "string"], [*vectors]), (["string"], []):
        model = StImputeModel(spatial, reference, relations=relations)
        proteins = reference.var_names[model.data.attached.has_protein]
        assert list(proteins) == expected


def test_cells_are_read_by_name(both):
    spatial, _, record, _ = both
    cells, _ = read_cells(spatial, SETUP, record, {})
    other, _ = read_cells(shuffled_genes(spatial), SETUP, record, {})
    assert cells.expression.shape == (N_CELLS, N_MEASURED)
    np.testing.assert_array_equal(cells.expression.toarray(), spatial.X.toarray())
    np.testing.assert_array_equal(cells.expression.toarray(), other.expression.toarray())
    np.testing.assert_array_equal(cells.total_counts, np.asarray(spatial.X.sum(1)).ravel())
    np.testing.assert_array_equal(cells.total_counts, other.total_counts)
    np.testing.assert_array_equal(cells.coords, spatial.obsm["spatial"])


def test_sections_and_positions_are_read_as_set_up(both):
    spatial, _, record, _ = both
    spatial = spatial.copy()
    spatial.obs["section"] = np.where(np.arange(N_CELLS) < 50, "b", "a")
    cells, _ = read_cells(spatial, {**SETUP, "batch_key": "section", "spatial_key": None}, record, {})
    assert cells.coords is None
    assert set(cells.section[:50]) == {1}
    assert set(cells.section[50:]) == {0}


def test_normalized_values_have_no_totals(both):
    spatial, _, record, _ = both
    spatial = spatial.copy()
    spatial.X = spatial.X.log1p()
    cells, _ = read_cells(spatial, {**SETUP, "expression": "normalized"}, record, {})
    assert cells.total_counts is None
    np.testing.assert_array_equal(cells.expression.toarray(), spatial.X.toarray())


# ---------------------------------------------------------------- recognizing the reference


def test_only_cells_of_the_reference_are_recognized(both):
    spatial, reference, _, attached = both
    permuted = bare(reference)
    permuted.X = sparse.csr_matrix(np.random.default_rng(0).permuted(reference.X.toarray(), axis=0))
    one_changed = bare(reference[:5])
    one_changed.X[2, attached.reference.shared[0]] += 1
    assert is_from_reference(reference, attached)
    assert is_from_reference(reference[150:], attached)
    assert is_from_reference(shuffled_genes(reference), attached)
    for other in (spatial, permuted, one_changed, reference[:, :30], reference[:, attached.reference.shared]):
        assert not is_from_reference(other, attached)


def test_cells_without_any_count_tell_nothing(both):
    _, reference, _, attached = both
    empty = bare(reference[:3])
    empty.X = np.zeros(empty.shape, np.float32)
    assert not is_from_reference(empty, attached)


def test_recognizing_the_reference_warns_of_nothing(both):
    """Counts are no normalized values, which does not concern whoever asks."""
    spatial, reference = (adata.copy() for adata in both[:2])
    reference.X = reference.X.log1p()
    everything = bare(both[1])
    record, attached = read_pair(
        spatial, SETUP, reference, {**SETUP, "expression": "normalized"}, CrossfitRecipe(), [], {}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not is_from_reference(everything, attached)
    assert record.relations == ()


COPIED = "The spatial cells are cells of the reference"


def without_positions(section, reference):
    StImputeModel.setup_anndata(section, spatial_key=None)
    StImputeModel.setup_anndata(reference)
    return StImputeModel(section, reference, recipe="linear")


def test_cells_of_the_reference_as_spatial_cells_are_told_once(both):
    _, reference, record, _ = both
    shared = list(record.shared_genes)
    dense = bare(reference[:, shared])
    dense.X = dense.X.toarray()
    for section in (bare(reference[:, shared]), bare(reference[::-2, shared[::-1]]), dense):
        with pytest.warns(UserWarning, match=COPIED):
            model = without_positions(section, bare(reference))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.data.read_cells(None)


def test_the_reference_as_another_section_is_told(both):
    spatial, reference, _, _ = both
    model = fit(*set_up(bare(spatial), bare(reference)), "linear")
    lazy = bare(reference)
    lazy.X = da.from_array(lazy.X.toarray(), chunks=(50, -1))
    for section in (model.reference, bare(reference[:, ::-1]), lazy):
        with pytest.warns(UserWarning, match=COPIED):
            model.impute(adata=section, genes="Gene40", progress=False)


def test_cells_with_equal_names_or_values_alone_are_spatial_cells(both):
    _, reference, record, _ = both
    renamed = bare(reference[:, list(record.shared_genes)])
    renamed.obs_names = [f"spot {name}" for name in renamed.obs_names]
    changed = bare(reference[:, list(record.shared_genes)])
    changed.X = changed.X.toarray()
    changed.X[7, 3] += 1
    for section in (renamed, changed):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            without_positions(section, bare(reference))


# ---------------------------------------------------------------- what is missing


def test_missing_data_are_no_attributes(saved, pair):
    """scvi-tools reads every property when it saves a model, and passes over an AttributeError."""
    model = StImputeModel.load(saved, adata=False, reference=False, accelerator="cpu")
    with pytest.raises(NoCellsError, match="without spatial data"):
        model.measured_genes  # noqa: B018
    with pytest.raises(NoReferenceError, match="without its reference"):
        model.reference_genes  # noqa: B018
    assert not hasattr(model, "measured_genes")
    assert not hasattr(model, "reference_genes")
    assert list(model.shared_genes) == list(pair[0].var_names)
    assert list(model.input_genes) == list(pair[0].var_names)


def test_genes_to_predict_are_located_in_the_reference(model, pair):
    targets, names = model.data.locate(None, None)
    assert list(pair[1].var_names[targets]) == list(names)
    assert not names.isin(pair[0].var_names).any()
    some = bare(pair[0][:, 3:])
    _, names = model.data.locate(None, some)
    assert set(pair[0].var_names[:3]) <= set(names)
    _, names = model.data.locate(pd.Index(["Gene40", "Gene03"]), None)
    assert list(names) == ["Gene40", "Gene03"]


def test_reading_leaves_the_matrix_as_it_is(both):
    spatial = both[0]
    before = spatial.X.copy()
    read_expression(spatial).log_normalized()
    np.testing.assert_array_equal(spatial.X.toarray(), before.toarray())
