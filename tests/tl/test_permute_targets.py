import numpy as np
import pytest

from stimpute import pp, tl
from stimpute.datasets import synthetic_tissue


@pytest.fixture
def tissue():
    tissue = synthetic_tissue(n_cells=60, n_reference=50, n_measured=12, n_unmeasured=4)
    pp.add_protein_embeddings(tissue.reference, tissue.proteins)
    return tissue


def log_normalized(fold):
    """Reference expression of a fold, cells × genes, as models read it."""
    expression = fold.reference_setup["expression"]
    return pp.measured_expression(fold.reference, expression=expression).to_df()


def test_held_out_genes_are_permuted_and_all_others_stay(tissue):
    fold = tl.gene_folds(tissue.spatial, tissue.reference, n_folds=3)[0]
    permuted = tl.permute_targets(fold, seed=1)
    before, after = log_normalized(fold), log_normalized(permuted)
    assert list(after) == list(before)
    others = before.columns.drop(fold.targets)
    np.testing.assert_allclose(after[others], before[others], rtol=1e-6)
    np.testing.assert_allclose(np.sort(after[fold.targets], axis=0), np.sort(before[fold.targets], axis=0), rtol=1e-6)
    varies = before[fold.targets].std() > 0
    assert ((after[fold.targets] != before[fold.targets]).any() == varies).all()
    np.testing.assert_array_equal(permuted.reference.varm["protein"], fold.reference.varm["protein"])
    np.testing.assert_array_equal(permuted.truth, fold.truth)


def test_the_seed_decides(tissue):
    fold = tl.gene_folds(tissue.spatial, tissue.reference, n_folds=3)[0]
    first, again, other = (tl.permute_targets(fold, seed=seed).reference.X.toarray() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_each_of_several_references_is_permuted_by_itself(tissue):
    half = tissue.reference.n_obs // 2
    parts = {"a": tissue.reference[:half].copy(), "b": tissue.reference[half:].copy()}
    fold = tl.gene_folds(tissue.spatial, parts, n_folds=3)[0]
    permuted = tl.permute_targets(fold)
    key = fold.reference_setup["dataset_key"]
    dataset = fold.reference.obs[key].to_numpy()
    np.testing.assert_array_equal(permuted.reference.obs[key].to_numpy(), dataset)
    after = log_normalized(permuted)
    for name, part in parts.items():
        before = pp.measured_expression(part).to_df()[fold.targets]
        found = after.loc[dataset == name, fold.targets]
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(before, axis=0), rtol=1e-5)
