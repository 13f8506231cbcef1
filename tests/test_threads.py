"""The number of threads fits the work and is restored."""

import os
import signal

import dask.array as da
import dask.threaded
import numpy as np
import pytest
import scvi
import torch
from small import fit, set_up, small_pair

from stimpute._threads import WORK_FOR_THREADS, _forget_threads_of_parent, suitable_threads
from stimpute.recipes._crossfit_ensemble import CrossfitCellEncoder, CrossfitEnsemble


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_one_thread():
    """It would wait for the threads of its parent, which it does not have."""
    torch.relu(torch.randn(1_000_000))  # starts the threads
    child = os.fork()
    if child == 0:
        torch.relu(torch.randn(1_000_000))
        os._exit(torch.get_num_threads())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert torch.get_num_threads() == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_imputes_with_threads_of_its_own():
    """It would wait for the threads with which Dask computed in its parent."""
    model = fit(*set_up(*small_pair(proteins=False)), "crossfit", {"max_epochs": 1})
    gene = model.reference.var_names[-1]
    expected = model.impute(genes=[gene], progress=False).X
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends the process if it hangs
        found = model.impute(genes=[gene], progress=False).X
        os._exit(0 if np.allclose(found, expected, atol=1e-5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_a_forked_process_forgets():
    """In this process, where the test sees it: Dask starts other threads when it needs some."""
    numbers = da.arange(10, chunks=2)
    assert numbers.sum().compute(scheduler="threads", num_workers=2) == 45
    assert dask.threaded.pools
    _forget_threads_of_parent()
    assert torch.get_num_threads() == 1
    assert not dask.threaded.pools
    assert dask.threaded.default_pool is None
    assert numbers.sum().compute(scheduler="threads", num_workers=2) == 45


def test_a_small_panel_is_described_and_imputed_with_one_thread(monkeypatch):
    model = fit(*set_up(*small_pair(proteins=False)), "crossfit", {"max_epochs": 1})
    seen = {}
    for owner, name in ((CrossfitEnsemble, "gene_weights"), (CrossfitCellEncoder, "encode")):
        original = getattr(owner, name)

        def spy(*args, original=original, name=name):
            seen[name] = torch.get_num_threads()
            return original(*args)

        monkeypatch.setattr(owner, name, spy)
    model.impute(progress=False)
    assert seen == {"gene_weights": 1, "encode": 1}
    assert torch.get_num_threads() == 2
