import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stimpute.train._batches import RowBatches


def rows(n):
    return {"row": torch.arange(n), "twice": 2 * torch.arange(n)}


def seen(loader):
    return [batch["row"] for batch in loader]


@given(st.integers(1, 40), st.integers(1, 50), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_every_row_is_trained_on_once_or_held_out(n, batch_size, share):
    data = RowBatches(rows(n), batch_size, validation_size=share)
    kept, held_out = data.kept.tolist(), data.held_out.tolist()
    assert sorted(kept + held_out) == list(range(n))
    assert kept
    assert len(held_out) == min(int(share * n), n - 1)
    batches = seen(data.train_dataloader())
    assert sorted(torch.cat(batches).tolist()) == sorted(kept)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert torch.cat([*seen(data.val_dataloader()), torch.empty(0, dtype=int)]).tolist() == sorted(held_out)


def test_the_last_batch_may_be_a_single_row():
    assert [len(batch) for batch in seen(RowBatches(rows(9), 4).train_dataloader())] == [4, 4, 1]


def test_tensors_of_a_batch_belong_together():
    for batch in RowBatches(rows(10), 3).train_dataloader():
        assert torch.equal(batch["twice"], 2 * batch["row"])


def test_epochs_differ_and_seeds_repeat():
    epochs = lambda data: [torch.cat(seen(data.train_dataloader())).tolist() for _ in range(2)]
    first = epochs(RowBatches(rows(30), 7, seed=3))
    assert first[0] != first[1]
    assert epochs(RowBatches(rows(30), 7, seed=3)) == first
    assert epochs(RowBatches(rows(30), 7, seed=4)) != first
    held_out = lambda seed: RowBatches(rows(30), 7, validation_size=0.3, seed=seed).held_out.tolist()
    assert held_out(3) == held_out(3) != held_out(4)


def test_batches_do_not_depend_on_the_global_random_state():
    orders = []
    with torch.random.fork_rng():
        for seed in (1, 2):
            torch.manual_seed(seed)
            orders.append(torch.cat(seen(RowBatches(rows(30), 7).train_dataloader())).tolist())
    assert orders[0] == orders[1]


def test_a_fixed_number_of_steps():
    data = RowBatches(rows(5), 8, steps_per_epoch=3)
    batches = seen(data.train_dataloader())
    assert [len(batch) for batch in batches] == [8, 8, 8]
    assert set(torch.cat(batches).tolist()) <= set(range(5))


def test_a_fixed_number_of_steps_repeats_with_the_seed():
    draw = lambda seed: torch.cat(seen(RowBatches(rows(50), 8, steps_per_epoch=3, seed=seed).train_dataloader()))
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_a_whole_batch_is_transformed_at_once():
    sizes = []

    def transform(batch):
        sizes.append(len(batch["row"]))
        return {**batch, "more": batch["row"] + 1}

    data = RowBatches(rows(5), 2, transform=transform, validation_size=0.2)
    batches = list(data.train_dataloader())
    assert sizes == [2, 2]
    assert torch.equal(batches[0]["more"], batches[0]["row"] + 1)
    assert "more" in next(iter(data.val_dataloader()))


def test_no_validation_without_held_out_rows():
    assert RowBatches(rows(5), 2).val_dataloader() == []


def test_impossible_batch_sizes():
    with pytest.raises(ValueError, match="batch_size"):
        list(RowBatches(rows(5), -1).train_dataloader())


def test_a_batch_holds_at_most_all_rows():
    """Otherwise ten rows drawn 10,000,000 times would fill the memory."""
    few = RowBatches(rows(10), 10**6, steps_per_epoch=2)
    assert [len(batch) for batch in seen(few.train_dataloader())] == [1024, 1024]
    many = RowBatches(rows(2000), 10**6, steps_per_epoch=2)
    assert [len(batch) for batch in seen(many.train_dataloader())] == [2000, 2000]
