import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stimpute.data._arrays import from_arrays, to_arrays
from stimpute.data._folds import GeneFolds, GeneSplit, PerFold


@given(st.integers(2, 60), st.integers(2, 8), st.integers(0, 5))
def test_every_gene_is_held_out_once(n_genes, n_folds, seed):
    folds = GeneFolds.draw(n_genes, n_folds, seed)
    assert len(folds) == min(n_genes, n_folds)
    splits = [folds.split(fold) for fold in range(len(folds))]
    assert sorted(np.concatenate([split.held_out for split in splits])) == list(range(n_genes))
    sizes = [len(split.held_out) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for fold, split in enumerate(splits):
        assert sorted([*split.inputs, *split.held_out]) == list(range(n_genes))
        assert len(split.inputs)
        assert list(split.inputs) == sorted(split.inputs)
        assert list(split.held_out) == sorted(split.held_out)
        assert (folds.fold_of_gene[split.held_out] == fold).all()


def test_the_seed_decides():
    draw = lambda seed: GeneFolds.draw(20, 5, seed).fold_of_gene.tolist()
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_without_a_fold_nothing_is_held_out():
    split = GeneFolds.draw(7, 3).split(None)
    assert split.inputs.tolist() == list(range(7))
    assert len(split.held_out) == 0
    assert split.held_out.dtype.kind == "i"  # of positions, although it is empty
    np.testing.assert_array_equal(split.mask(), np.ones(7))


def test_the_mask_is_one_for_inputs():
    mask = GeneSplit(np.array([0, 2, 3]), np.array([1, 4])).mask()
    assert mask.tolist() == [1, 0, 1, 1, 0]
    assert mask.dtype == np.float32


@pytest.mark.parametrize("n_folds", [1, 0, -2])
def test_fewer_than_two_folds_are_refused(n_folds):
    with pytest.raises(ValueError, match=f"`n_folds` is {n_folds}; expected at least 2"):
        GeneFolds.draw(10, n_folds)


def test_a_number_per_fold_and_one_for_all():
    values = PerFold(np.array([1, 2, 3]), 9.0)
    assert [values[fold] for fold in (None, 0, 2)] == [9, 1, 3]
    assert all(type(values[fold]) is float for fold in (None, 1))
    with pytest.raises(IndexError):
        values[3]


def test_a_number_is_computed_from_the_genes_of_each_fold():
    folds = GeneFolds.draw(10, 3)
    values = PerFold.compute(folds, lambda split: float(split.inputs.sum()))
    assert values[None] == 45
    assert [values[fold] for fold in range(3)] == [folds.split(fold).inputs.sum() for fold in range(3)]


def test_folds_survive_as_arrays_and_damage_is_refused():
    folds = GeneFolds.draw(10, 4)
    again = from_arrays(GeneFolds, to_arrays(folds), {"n_shared": 10, "n_folds": 4})
    assert again.split(2).held_out.tolist() == folds.split(2).held_out.tolist()
    with pytest.raises(ValueError, match="fold_of_gene points outside of its 3 'n_folds'"):
        from_arrays(GeneFolds, to_arrays(folds), {"n_shared": 10, "n_folds": 3})
