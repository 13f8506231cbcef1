import dask.array as da
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData, read_h5ad
from scipy import sparse

from stimpute.data import _expression
from stimpute.data._expression import ExpressionMatrix, expression_arguments, read_expression, read_gene_names

# ---------------------------------------------------------------- the checked matrix


@pytest.fixture
def adata():
    counts = np.random.default_rng(0).poisson(2.0, (30, 6)).astype(np.float32)
    adata = AnnData(counts, var=pd.DataFrame({"symbol": list("ABCDEF")}, index=list("abcdef")))
    adata.layers["counts"] = sparse.csc_matrix(counts + 1)
    adata.layers["log"] = np.log1p(counts)
    return adata


def test_counts_are_log_normalized_as_scanpy_does(adata):
    matrix = read_expression(adata, layer="counts")
    expected = AnnData(adata.layers["counts"].toarray())
    sc.pp.normalize_total(expected)
    sc.pp.log1p(expected)
    assert matrix.median_total() == np.median(adata.layers["counts"].toarray().sum(1))
    np.testing.assert_allclose(matrix.log_normalized().toarray(), expected.X, rtol=1e-5)
    assert matrix.log_normalized().dtype == np.float32
    sc.pp.normalize_total(expected, target_sum=10)
    other = matrix.log_normalized(10.0).toarray()
    counts = adata.layers["counts"].toarray()
    np.testing.assert_allclose(other, np.log1p(counts / counts.sum(1, keepdims=True) * 10), rtol=1e-5)


def test_normalized_values_stay_as_they_are(adata):
    matrix = read_expression(adata, layer="log", expression="normalized")
    assert matrix.median_total() == 1
    assert not matrix.is_counts
    np.testing.assert_array_equal(matrix.log_normalized().toarray(), adata.layers["log"])


@pytest.mark.parametrize("layer", [None, "counts"])
def test_layer_and_gene_names_are_chosen(adata, layer):
    matrix = read_expression(adata, layer=layer, gene_symbols="symbol")
    expected = adata.X if layer is None else adata.layers[layer].toarray()
    assert isinstance(matrix, ExpressionMatrix)
    assert matrix.is_counts
    assert isinstance(matrix.values, sparse.csr_matrix)
    np.testing.assert_array_equal(matrix.values.toarray(), expected)
    assert list(matrix.genes) == list("ABCDEF")
    assert list(read_expression(adata).genes) == list("abcdef")


def test_some_cells_keep_the_genes_and_what_the_values_are(adata):
    matrix = read_expression(adata)
    part = matrix[np.array([3, 1])]
    np.testing.assert_array_equal(part.values.toarray(), adata.X[[3, 1]])
    assert part.genes.equals(matrix.genes)
    assert part.is_counts
    np.testing.assert_array_equal(part.gene_sums(), adata.X[[3, 1]].sum(0))


def test_of_the_setup_only_what_reads_expression_is_chosen():
    setup = {"layer": "counts", "batch_key": "section", "gene_symbols": None}
    assert expression_arguments(setup) == {"layer": "counts", "gene_symbols": None}


def test_gene_names_that_were_read_lazily_have_no_name_of_their_own(adata):
    adata.var_names.name = "_index"
    assert read_gene_names(adata).name is None
    assert list(read_gene_names(adata)) == list("abcdef")


@pytest.mark.parametrize("missing", [None, np.nan])
def test_genes_without_a_name_are_refused(adata, missing):
    adata.var["symbol"] = [missing, *"BCDEF"]
    with pytest.raises(ValueError, match=r"`adata.var\['symbol'\]` has no name for 1 gene"):
        read_gene_names(adata, "symbol")
    adata.var["symbol"] = adata.var["symbol"].astype("category")
    with pytest.raises(ValueError, match="has no name for 1 gene"):
        read_expression(adata, gene_symbols="symbol")


def test_a_layer_that_does_not_exist_may_be_meant_as_raw(adata):
    with pytest.raises(KeyError, match=r"has \['counts', 'log'\]\."):
        read_expression(adata, layer="raw")
    adata.raw = adata.copy()
    with pytest.raises(KeyError, match=r"`adata.raw`, make a layer of it"):
        read_expression(adata, layer="raw")


def test_a_view_is_read_and_stays_a_view(adata):
    view = adata[[3, 1], ["c", "a"]]
    matrix = read_expression(view)
    np.testing.assert_array_equal(matrix.values.toarray(), adata.X[[3, 1]][:, [2, 0]])
    assert list(matrix.genes) == ["c", "a"]
    assert view.is_view


def test_the_data_are_not_changed(adata):
    adata.X = sparse.csr_matrix(adata.X)
    before = adata.copy()
    read_expression(adata).log_normalized()
    assert (adata.X != before.X).nnz == 0


def test_what_does_not_exist_is_a_key_error_with_what_does(adata):
    with pytest.raises(KeyError, match=r"'raw' is not in `adata.layers`.*\['counts', 'log'\]"):
        read_expression(adata, layer="raw")
    with pytest.raises(KeyError, match=r"'ensembl' is not in `adata.var`.*\['symbol'\]"):
        read_expression(adata, gene_symbols="ensembl")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_a_backed_anndata_is_read(adata, tmp_path, form):
    x = adata.X
    adata.X = form(x)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = read_h5ad(tmp_path / "a.h5ad", backed="r")
    for data, expected in ((backed, x), (backed[[3, 1]], x[[3, 1]])):
        matrix = read_expression(data)
        assert isinstance(matrix.values, sparse.csr_matrix)
        np.testing.assert_array_equal(matrix.values.toarray(), expected)
    backed.file.close()


def test_a_dask_array_is_read_and_checked(adata):
    x = adata.X
    adata.layers["lazy"] = da.from_array(x, chunks=(7, 4))
    np.testing.assert_array_equal(read_expression(adata, layer="lazy").values.toarray(), x)
    adata.layers["lazy"] = adata.layers["lazy"] + 0.5
    with pytest.raises(ValueError, match="Expected raw counts"):
        read_expression(adata, layer="lazy")


def test_a_matrix_of_another_type_is_refused(adata, monkeypatch):
    adata.layers["other"] = da.from_array(adata.X)
    monkeypatch.setattr(_expression, "is_lazy", lambda matrix: False)
    with pytest.raises(ValueError, match=r"is a Array; expected a NumPy array.*to_memory\(\)"):
        read_expression(adata, layer="other")


def test_no_expression_is_refused():
    adata = AnnData(obs=pd.DataFrame(index=list("ab")), var=pd.DataFrame(index=list("cd")))
    with pytest.raises(ValueError, match="no `X`.*layer="):
        read_expression(adata)


def test_duplicated_gene_names_are_listed_once(adata):
    adata.var_names = ["a", "a", "a", "b", "b", "c"]
    with pytest.raises(ValueError, match=r"2 duplicated gene name\(s\), among them a, b\..*var_names_make_unique"):
        read_expression(adata)
    assert list(read_gene_names(adata, "symbol")) == list("ABCDEF")
    adata.var["symbol"] = "Rorb"
    with pytest.raises(ValueError, match=r"1 dup.* in `adata.var\['symbol'\]`, among them Rorb\..*duplicates\.$"):
        read_gene_names(adata, "symbol")


def test_gene_names_are_text(adata):
    adata.var["entrez"] = pd.Categorical(range(6))
    assert list(read_gene_names(adata, "entrez")) == list("012345")
