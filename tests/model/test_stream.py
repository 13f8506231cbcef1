"""Gene blocks and cell encoders: small, picklable, and all that a prediction needs."""

import pickle

import dask
import numpy as np
import pytest
import torch
from scipy import sparse
from small import N_CELLS, bare, can, fit, if_known, predict_pickled, set_up, small_pair, values

from stimpute.data._annotations import layers_by_name
from stimpute.model._chunks import CELLS_PER_CHUNK, gene_chunks
from stimpute.model._stream import describe_genes, gene_table, predict_chunks, progress_bar
from stimpute.recipes import OutputOptions

N_MANY = 800  # unmeasured genes of a wide reference


@pytest.fixture
def options(recipe):
    return OutputOptions(interval=0.9 if can(recipe, "intervals") else None)


@pytest.fixture
def work(model, pair):
    """Chunks of genes, one for each fold and one of unmeasured genes, with their blocks; and the spatial cells."""
    predictor = model.predictor()
    targets = np.arange(pair[1].n_vars)
    chunks = gene_chunks(predictor, targets, model.data.need_reference().reference)
    blocks = list(describe_genes(predictor, chunks, progress=False))
    return predictor, chunks, blocks, model.data.read_cells(None)


def neighbors_of(predictor, cells):
    if predictor.n_spatial_neighbors is None:
        return None
    return cells.neighbors(predictor.n_spatial_neighbors)


# ---------------------------------------------------------------- chunks of genes


def test_every_gene_is_in_one_chunk_with_its_own_fold_held_out(model, pair, work):
    predictor, chunks, blocks, _ = work
    columns = np.concatenate([chunk.columns for chunk in chunks])
    assert sorted(columns) == list(range(pair[1].n_vars))
    for chunk, block in zip(chunks, blocks, strict=True):
        names = pair[1].var_names[chunk.targets]
        assert len(block.table) == len(names)
        if chunk.fold is None:
            assert not names.isin(model.shared_genes).any()
        else:
            held_out = model.shared_genes[predictor.folds.split(chunk.fold).held_out]
            assert set(names) == set(held_out)


def test_large_requests_are_cut_into_chunks(model, pair, monkeypatch, imputed):
    monkeypatch.setattr("stimpute.model._chunks.GENES_PER_CHUNK", 3)
    monkeypatch.setattr("stimpute.model._chunks.CELLS_PER_CHUNK", 40)
    result = model.impute(genes=list(imputed.var_names), progress=False)
    np.testing.assert_allclose(values(result), imputed.X, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(result.var["reliability"], imputed.var["reliability"], rtol=1e-4, atol=1e-5)


def test_the_gene_table_is_in_the_order_of_the_output(work):
    _, chunks, blocks, _ = work
    table = gene_table([block.table for block in blocks], chunks)
    assert list(table.index) == list(range(len(table)))
    for chunk, block in zip(chunks, blocks, strict=True):
        np.testing.assert_array_equal(table["n_edges"].iloc[chunk.columns], block.table["n_edges"])


# ---------------------------------------------------------------- a prediction is a pure function of block and cells


def test_another_process_predicts_the_same_bits(work, imputed, options, model, other_process):
    predictor, chunks, blocks, cells = work
    expected = model.impute(genes=list(imputed.var_names), interval=options.interval, progress=False)
    expected = {"X": expected.X, **layers_by_name(expected)}
    assert len(cells) <= CELLS_PER_CHUNK
    chunk_of_cells = cells.chunk(cells.order, neighbors_of(predictor, cells))
    for chunk, block in zip(chunks, blocks, strict=True):
        task = pickle.dumps((block, predictor.cell_encoder(chunk.fold), chunk_of_cells, options))
        found = other_process.submit(predict_pickled, task).result()
        assert found.keys() == expected.keys()
        for name, value in found.items():
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, expected[name][np.ix_(cells.order, chunk.columns)])


def test_the_order_of_cells_and_genes_does_not_matter(work, options, imputed):
    predictor, chunks, blocks, cells = work
    neighbors = neighbors_of(predictor, cells)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(cells))
    for index in rng.permutation(len(chunks)):
        block, encoder = blocks[index], predictor.cell_encoder(chunks[index].fold)
        for rows in np.array_split(order, 7):
            found = block.predict(encoder.encode(cells.chunk(rows, neighbors)), options)["X"]
            np.testing.assert_allclose(found, imputed.X[np.ix_(rows, chunks[index].columns)], rtol=1e-5, atol=1e-5)


def test_a_block_can_be_used_twice(work, options):
    predictor, chunks, blocks, cells = work
    chunk = cells.chunk(cells.order, neighbors_of(predictor, cells))
    encoded = predictor.cell_encoder(chunks[0].fold).encode(chunk)
    first = blocks[0].predict(encoded, options)
    copies = {name: value.copy() for name, value in first.items()}
    first["X"][:] = -1  # a caller may write into what it got
    for name, value in blocks[0].predict(encoded, options).items():
        np.testing.assert_array_equal(value, copies[name])


def test_a_chunk_of_cells_holds_its_neighbors_and_no_others(work):
    predictor, _, _, cells = work
    neighbors = neighbors_of(predictor, cells)
    rows = np.array([5, 2, 9])
    chunk = cells.chunk(rows, neighbors)
    assert len(chunk) == 3
    wanted = set(rows) if neighbors is None else set(rows) | set(neighbors[rows].ravel())
    assert len(chunk.cells) == len(wanted)
    own = chunk.cells[chunk.rows].expression.toarray()
    np.testing.assert_array_equal(own, cells[rows].expression.toarray())


def test_values_are_written_where_they_belong(work, options, imputed):
    """In memory cells are visited along a curve through space; a chunk of a store is written once, as it is."""

    class Store:
        """Takes values as a zarr array does."""

        def __init__(self):
            self.array = np.full(imputed.shape, np.nan, np.float32)
            self.order = []

        def __setitem__(self, where, what):
            rows, columns = where
            self.order.append(rows.start)
            self.array[rows, columns] = what

    predictor, chunks, blocks, cells = work
    store = Store()
    with dask.config.set(scheduler="synchronous"):
        predict_chunks(predictor, cells, chunks, blocks, {"X": store}, OutputOptions(), batch_size=40, progress=False)
    np.testing.assert_allclose(store.array, imputed.X, atol=1e-5)
    assert sorted(store.order) == list(range(0, N_CELLS, 40))


# ---------------------------------------------------------------- size


@pytest.fixture(scope="module")
def wide(recipe):
    """A model with few shared genes and a wide reference."""
    pair = set_up(*small_pair(n_unmeasured=N_MANY))
    return fit(*pair, recipe, {"max_epochs": 1}, **if_known(recipe, n_latent=8, n_metacells=30))


def test_blocks_and_encoders_do_not_hold_the_reference(wide, recipe):
    predictor = wide.predictor()
    reference = wide.data.need_reference().reference
    whole = len(pickle.dumps(reference.expression.datasets[0].by_gene))
    for fold, targets in ((None, np.flatnonzero(reference.position_among_shared(np.arange(30)) < 0)[:1]), (0, None)):
        if targets is None:
            targets = reference.shared[predictor.folds.split(fold).held_out][:1]
        size = len(pickle.dumps((predictor.gene_block(targets, fold), predictor.cell_encoder(fold))))
        assert size < whole / 4


def test_an_encoder_does_not_grow_with_the_genes_of_the_reference(wide, recipe):
    narrow = fit(*set_up(*small_pair()), recipe, {"max_epochs": 1}, **if_known(recipe, n_latent=8, n_metacells=30))
    sizes = [len(pickle.dumps(model.predictor().cell_encoder(None))) for model in (narrow, wide)]
    assert sizes[1] <= 1.02 * sizes[0]


# ---------------------------------------------------------------- memory


def test_repeated_calls_do_not_grow_the_predictor(pair, recipe):
    """What is computed once stays; nothing is kept of the genes and the cells of a call."""
    model = fit(*pair, recipe, {"max_epochs": 1})
    genes = list(pair[1].var_names)

    def call(genes, cells):
        model.impute(cells, genes=genes, progress=False)
        model.gene_reliability(genes)
        if can(recipe, "latent_space"):
            model.get_neighbors(cells)
            model.get_latent_representation(cells)
            model.get_latent_representation(dataset="reference")

    call(genes, None)
    predictor = model.predictor()
    size = len(pickle.dumps(predictor))
    size_of_model_data = len(pickle.dumps(model.data.attached.reference))
    for seed in range(3):
        some = list(np.random.default_rng(seed).permutation(genes)[:17])
        call(some, bare(pair[0][seed : 40 + seed]))
        call(some[:1], None)
    assert model.predictor() is predictor
    assert len(pickle.dumps(predictor)) == size
    assert len(pickle.dumps(model.data.attached.reference)) == size_of_model_data


def test_the_predictor_reads_the_reference_that_the_model_has(model):
    """There is one copy of the expression."""
    expression = model.data.need_reference().reference.expression
    assert sparse.issparse(expression.datasets[0].by_gene)
    kept = pickle.dumps(model.predictor())
    assert len(kept) < 4 * len(pickle.dumps(expression)) + 2_000_000


def test_a_progress_bar_writes_nothing_where_it_cannot_be_drawn(capsys):
    with progress_bar("impute", 3, show=True) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


# ---------------------------------------------------------------- half precision


@pytest.mark.needs("intervals")
def test_training_in_half_precision_changes_little(pair, recipe):
    spatial, reference = pair
    genes = list(reference.var_names)
    full, half = (
        values(fit(spatial, reference, recipe, {"max_epochs": 5, **options}).impute(genes=genes, progress=False))
        for options in ({}, {"precision": "bf16-mixed"})
    )
    assert (full != half).any()
    np.testing.assert_allclose(half, full, atol=0.05 * full.std())


@pytest.mark.needs("intervals")
def test_imputing_with_fast_matrix_products_changes_little(model):
    expected = values(model.impute(progress=False))
    torch.set_float32_matmul_precision("medium")
    try:
        found = values(model.impute(progress=False))
    finally:
        torch.set_float32_matmul_precision("highest")
    np.testing.assert_allclose(found, expected, atol=0.02 * expected.std())
