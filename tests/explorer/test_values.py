import threading

import numpy as np
import pytest

from stimpute.data._annotations import layers_by_name
from stimpute.explorer import _values
from stimpute.explorer._values import GeneValues
from stimpute.model import _encodings, _graph


@pytest.fixture(scope="module")
def values(model):
    return GeneValues(model, progress=False)


def test_values_are_those_of_impute(values, model, imputed):
    interval = 0.9 if model.recipe.capabilities.intervals else None
    names = [imputed.var_names[0], imputed.var_names[-1], model.shared_genes[3]]
    expected = model.impute(genes=names, interval=interval, progress=False)
    for i, name in enumerate(names):
        found = values.gene(name)
        layers = layers_by_name(expected)
        assert set(found) == {"X", *layers}
        np.testing.assert_allclose(found["X"], expected.X[:, i], rtol=1e-5, atol=1e-5)
        for layer, of_layer in layers.items():
            np.testing.assert_allclose(found[layer], of_layer[:, i], rtol=1e-5, atol=1e-5)


def test_all_genes_of_some_cells_are_those_of_impute(values, imputed):
    rows = np.array([3, 17, 80])
    assert list(values.table.index) == list(imputed.var_names)
    np.testing.assert_allclose(values.all_genes(rows), imputed.X[rows], rtol=1e-4, atol=1e-4)


def test_the_table_says_what_impute_says(values, imputed):
    np.testing.assert_allclose(values.table["reliability"], imputed.var["reliability"], rtol=1e-5, atol=1e-6)
    assert list(values.table["measured"]) == list(imputed.var["measured"])


def test_values_do_not_depend_on_the_memory(values, model, monkeypatch):
    monkeypatch.setattr(_encodings, "MEMORY_SHARE", 0)
    frugal = GeneValues(model, progress=False)
    for name in (model.shared_genes[0], model.shared_genes[1], values.table.index[-1]):
        np.testing.assert_allclose(frugal.gene(name)["X"], values.gene(name)["X"], rtol=1e-5, atol=1e-5)


def test_cells_are_encoded_once_per_fold(sections, measured, unmeasured, monkeypatch):
    values = GeneValues(sections, progress=False)
    values.gene(measured[0])
    encoded = []
    monkeypatch.setattr(_graph, "_encode", lambda *arguments: encoded.append(arguments))
    for name in (unmeasured[0], unmeasured[1], measured[0]):
        values.gene(name)
    assert encoded == []


@pytest.fixture
def newly_encoded(monkeypatch):
    """Chunks of cells that are encoded in the test."""
    chunks = []
    encode = _graph._encode
    monkeypatch.setattr(_graph, "_encode", lambda *given: chunks.append(given) or encode(*given))
    return chunks


def test_after_the_folds_are_encoded_every_gene_costs_a_product_only(sections, newly_encoded):
    values = GeneValues(sections, progress=False)
    values.encode_folds(threading.Event())
    newly_encoded.clear()
    for name in sections.shared_genes:
        values.gene(name)
    assert newly_encoded == []


@pytest.mark.parametrize("obstacle", ["memory", "stop"])
def test_folds_are_not_encoded_without_memory_or_after_the_page_is_closed(
    sections, newly_encoded, monkeypatch, obstacle
):
    stop = threading.Event()
    if obstacle == "stop":
        stop.set()
    else:
        monkeypatch.setattr(_encodings, "MEMORY_SHARE", 0)
    values = GeneValues(sections, progress=False)
    newly_encoded.clear()
    values.encode_folds(stop)
    assert newly_encoded == []


def test_few_genes_are_kept(sections, unmeasured, monkeypatch):
    monkeypatch.setattr(_values, "MAX_GENES", 2)
    values = GeneValues(sections, progress=False)
    first = values.gene(unmeasured[0])
    assert values.gene(unmeasured[0]) is first
    values.gene(unmeasured[1])
    values.gene(unmeasured[2])
    assert values.gene(unmeasured[0]) is not first


def test_no_interval_and_unknown_genes(sections, unmeasured):
    values = GeneValues(sections, interval=None, progress=False)
    assert set(values.gene(unmeasured[0])) == {"X"}
    with pytest.raises(KeyError, match="no_gene"):
        values.gene("no_gene")
