"""The number of threads fits the work and is restored."""

import pytest
import scvi
import torch

from stimpute._threads import WORK_FOR_THREADS, suitable_threads


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_small_work_takes_one_thread_and_restores_the_number():
    with suitable_threads(WORK_FOR_THREADS / 2):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_the_number_is_restored_after_an_error():
    with pytest.raises(RuntimeError, match="stop"), suitable_threads(0):
        raise RuntimeError("stop")
    assert torch.get_num_threads() == 2


def test_large_work_keeps_the_threads():
    with suitable_threads(WORK_FOR_THREADS):
        assert torch.get_num_threads() == 2


def test_a_number_that_the_user_set_is_kept(monkeypatch):
    monkeypatch.setattr(type(scvi.settings), "num_threads", property(lambda self: 2))
    with suitable_threads(0):
        assert torch.get_num_threads() == 2
