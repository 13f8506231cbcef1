"""New slices with the same measured genes, without retraining."""

import warnings

import anndata
import numpy as np
import pytest
from scipy import sparse
from small import bare, can, fit, set_up, shuffled_genes, small_pair, values

GENES = ["Gene40", "Gene07", "Gene03"]


@pytest.fixture
def part(pair):
    """The first 77 cells, as if they came from a file."""
    return bare(pair[0][:77])


@pytest.fixture
def expected(model, part):
    return values(model.impute(part, genes=GENES, progress=False))


def with_genes(adata, *names):
    counts = np.random.default_rng(0).integers(0, 9, (adata.n_obs, len(names))).astype(np.float32)
    other = anndata.AnnData(sparse.csr_matrix(counts), obs=adata.obs[[]])
    other.var_names = names
    both = anndata.concat([other, adata], axis=1, merge="first")
    both.obs, both.obsm["spatial"] = adata.obs.copy(), adata.obsm["spatial"].copy()
    return both


def test_a_new_slice(model, pair):
    new, _ = small_pair(seed=7, n_cells=40)
    new.var_names = pair[0].var_names
    result = model.impute(new, progress=False)
    assert result.shape == (40, 20)
    assert np.isfinite(result.X).all()
    assert list(result.obs_names) == list(new.obs_names)


def test_genes_in_another_order(model, part, expected):
    for seed in range(3):
        result = model.impute(shuffled_genes(part, seed), genes=GENES, progress=False)
        np.testing.assert_allclose(values(result), expected, atol=1e-5)


def test_genes_that_the_model_does_not_know(model, part, expected):
    more = with_genes(part, "Extra1", "Extra2")
    result = model.impute(more, genes=GENES, progress=False)
    np.testing.assert_allclose(values(result), expected, atol=1e-5)
    assert more.n_vars == part.n_vars + 2


def test_a_gene_that_only_the_new_slice_measures(model, part, pair):
    """It is measured there, and predicted as if it were not."""
    gene = next(name for name in pair[1].var_names if name not in pair[0].var_names)
    more = with_genes(part, gene)
    assert gene not in model.impute(more, progress=False).var_names
    result = model.impute(more, genes=[gene], progress=False)
    assert result.var["measured"].all()
    np.testing.assert_allclose(values(result), values(model.impute(part, genes=[gene], progress=False)), atol=1e-5)


def test_genes_that_only_the_spatial_data_have_count_in_the_totals(recipe):
    """They are no inputs of the networks, but the totals that cells are scaled to include them."""
    spatial, reference = small_pair(proteins=False)
    spatial = with_genes(spatial, "Extra1", "Extra2")
    model = fit(*set_up(spatial, reference), recipe)
    assert set(model.input_genes) - set(model.shared_genes) == {"Extra1", "Extra2"}
    before = values(model.impute(genes=GENES, progress=False))
    changed = bare(spatial)
    changed.X = changed.X.toarray()
    changed.X[:, :2] *= 5
    assert not np.allclose(values(model.impute(changed, genes=GENES, progress=False)), before)
    with pytest.raises(ValueError, match=r"2 of them are not in this AnnData.*Extra1, Extra2"):
        model.impute(bare(spatial[:, 2:]), progress=False)


def test_missing_genes_are_named(model, part):
    with pytest.raises(ValueError, match=r"2 of them are not in this AnnData.*Gene\d\d, Gene\d\d"):
        model.impute(bare(part[:, 2:]), progress=False)
    renamed = part.copy()
    renamed.var_names = ["Other", *part.var_names[1:]]
    with pytest.raises(ValueError, match=part.var_names[0]):
        model.impute(renamed, progress=False)


def test_a_refused_slice_stays_refused(model, part):
    short = bare(part[:, 2:])
    for _ in range(2):
        with pytest.raises(ValueError, match="not in this AnnData"):
            model.impute(short, progress=False)


def test_a_copy_of_the_training_data_with_other_genes(model, pair):
    """The copy carries the marks that scvi-tools made in the original, and is checked all the same."""
    copy = pair[0].copy()
    copy.var_names = ["Other", *copy.var_names[1:]]
    with pytest.raises(ValueError, match=pair[0].var_names[0]):
        model.impute(copy, progress=False)
    assert "Gene40" in model.impute(genes=["Gene40"], progress=False).var_names


def test_a_copy_with_other_counts(model, part, expected):
    model.impute(part, genes=GENES, progress=False)
    copy = part.copy()
    copy.X = sparse.csr_matrix(np.random.default_rng(0).permutation(copy.X.toarray()))
    assert not np.allclose(values(model.impute(copy, genes=GENES, progress=False)), expected)
    np.testing.assert_array_equal(values(model.impute(part, genes=GENES, progress=False)), expected)


def test_a_view(model, pair, expected):
    result = model.impute(pair[0][:77], genes=GENES, progress=False)
    np.testing.assert_allclose(values(result), expected, atol=1e-5)
    assert pair[0].shape == (150, 24)


def test_one_cell(model, pair, recipe):
    one = bare(pair[0][3])
    result = model.impute(one, progress=False)
    assert result.shape == (1, 20)
    assert np.isfinite(result.X).all()
    if can(recipe, "latent_space"):
        assert model.get_latent_representation(one).shape[0] == 1
        assert len(model.transfer_labels("cell_type", one)) == 1


def test_a_section_that_was_not_in_the_training_data(recipe):
    spatial, reference = small_pair()
    spatial.obs["section"] = np.where(np.arange(spatial.n_obs) < 75, "a", "b")
    model = fit(*set_up(spatial, reference, batch_key="section"), recipe)
    new = bare(spatial[:40])
    new.obs["section"] = "c"
    assert model.impute(new, progress=False).shape == (40, 20)
    del new.obs["section"]
    with pytest.raises(KeyError, match=r"'section' is not in `adata\.obs`"):
        model.impute(new, progress=False)


def test_a_slice_is_checked_as_training_data_are(model, part):
    part.X = part.X.toarray()
    part.X[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"not finite.*'cell2'.*Gene"):
        model.impute(part, progress=False)
    part.X[2, 3] = 0.5
    with pytest.raises(ValueError, match="raw counts"):
        model.impute(part, progress=False)


def test_a_slice_without_positions(model, part, recipe):
    """A recipe that reads the spatial neighbors of a cell says what it lacks; others do not need positions."""
    del part.obsm["spatial"]
    if can(recipe, "uses_space"):
        with pytest.raises(ValueError, match=r"no positions.*spatial_key"):
            model.impute(part, progress=False)
    else:
        assert np.isfinite(model.impute(part, progress=False).X).all()


def test_cells_without_any_count(model, part):
    part.X = part.X.toarray()
    part.X[5] = 0
    with pytest.warns(UserWarning, match="1 of 77 spatial cells have no count"):
        result = model.impute(part, progress=False)
    assert np.isfinite(result.X).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.impute(part, progress=False)  # the same cells again
