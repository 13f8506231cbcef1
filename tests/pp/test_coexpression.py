import numpy as np
import pytest
from anndata import AnnData
from scipy import sparse

from stimpute import pp


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(1, 1, size=(60, 1)) * rng.gamma(1, 1, size=(1, 20)) * 2, size=(60, 20))
    counts[:, 7] = 0
    counts[3] = 0  # an empty cell
    return counts.astype(np.float32)


def expected(counts, k):
    totals = counts.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        log = np.log1p(np.nan_to_num(counts / totals) * np.median(totals))
        correlation = np.nan_to_num(np.corrcoef(log.T))
    np.fill_diagonal(correlation, 0)
    correlation[correlation <= 0] = 0
    return np.where(correlation >= np.sort(correlation, axis=1)[:, [-k]], correlation, 0)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_correlation_of_log_normalised_expression(counts, form):
    reference = AnnData(form(counts))
    pp.coexpression_graph(reference, n_neighbors=4)
    graph = reference.varp["coexpression"]
    assert sparse.issparse(graph)
    np.testing.assert_allclose(graph.toarray(), expected(counts, 4), atol=1e-5)
    after = reference.X.toarray() if sparse.issparse(reference.X) else reference.X
    np.testing.assert_array_equal(after, counts)
    assert reference.uns["stimpute"]["relations"]["coexpression"]["coverage"] == pytest.approx(19 / 20)


def test_a_layer_and_normalised_values(counts):
    reference = AnnData(np.zeros_like(counts), layers={"log": np.log1p(counts)})
    pp.coexpression_graph(reference, layer="log", expression="normalized", key_added="ours")
    with np.errstate(all="ignore"):
        correlation = np.nan_to_num(np.corrcoef(np.log1p(counts).T))
    graph = reference.varp["ours"].toarray()
    np.testing.assert_allclose(graph[graph > 0], correlation[graph > 0], atol=1e-5)


@pytest.mark.parametrize(
    ("value", "message"), [(0.5, "expected counts"), (-1, "expected counts"), (np.nan, "NaN"), (np.inf, "infinite")]
)
def test_what_is_no_count(counts, value, message):
    counts[0, 0] = value
    for form in (np.asarray, sparse.csr_matrix):
        with pytest.raises(ValueError, match=message):
            pp.coexpression_graph(AnnData(form(counts)))


def test_wrong_arguments(counts):
    with pytest.raises(ValueError, match="No layer 'raw'"):
        pp.coexpression_graph(AnnData(counts), layer="raw")
    with pytest.raises(ValueError, match="expected 'counts' or 'normalized'"):
        pp.coexpression_graph(AnnData(counts), expression="log")
    with pytest.raises(ValueError, match="Found 1 cells"):
        pp.coexpression_graph(AnnData(counts[:1]))
