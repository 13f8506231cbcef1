"""Kills, interruptions and full disks: `python benchmarks/soak.py --trials 240`; fuzzed files: `--fuzz 400`.

Each trial runs one call in a process of its own and stops it: by SIGKILL or SIGINT, at a file operation or at a time
that the seed chooses, or by a limit on the size of files, which has the effect of a full disk. Afterwards every file
that can be opened must be whole and right, an older file must be intact, and the same call must succeed when it is
repeated. Fuzzed files are damaged in one place each; reading them must give the right result, or an error of one type.
A cluster is stopped with its workers, without them, or one of them alone. Memory is bounded, and one call runs at a
time.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent))

MEMORY = 16 * 2**30  # bytes of address space
TIME_LIMIT = 120  # seconds until a call counts as hanging, or this many times as long as undisturbed:
TIMES_UNDISTURBED = 5
CLUSTER_TIME_LIMIT = 240  # a worker that was killed is missed after a while
HOWS = ("kill at a file", "kill at a time", "interrupt at a file", "interrupt at a time", "full disk")
CLUSTER_HOWS = ("kill the group", "interrupt the group", "kill the process", "kill a worker")
ORPHANS = 30  # seconds that processes of a call may outlive it
FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "shutil.rmtree")
FINISHED, FAILED, INTERRUPTED, OTHER = 0, 10, 11, 12  # exit status of the call
EXPECTED_ERRORS = (OSError, MemoryError)


def run_limited(
    call: Callable, how: str, moment: float, sizes: tuple[int, float, int], begins: Path | None = None
) -> int:
    """Run a call in a child process and stop it; return its exit status, -9 for a killed one.

    The child leads a process group. None of the group may be left some seconds after the child.

    Parameters
    ----------
    call
        The call.
    how
        One of `HOWS` or `CLUSTER_HOWS`, or "" to let it finish.
    moment
        When, as a share of the undisturbed call.
    sizes
        Number of file operations, seconds and largest file of the undisturbed call.
    begins
        File that the call writes when time begins to count; None for the start of the child.
    """
    seconds = sizes[1]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the child can handle it
    child = os.fork()
    if child == 0:
        status = OTHER
        os.setpgid(0, 0)
        try:
            status = _child(call, how, moment, sizes)
        except KeyboardInterrupt:  # after the call
            status = INTERRUPTED
        finally:
            os._exit(status)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    limit = _time_limit(how, seconds)
    end = time.monotonic() + limit
    try:
        is_timed = how.endswith("time") or how in CLUSTER_HOWS
        if is_timed and (begins is None or _wait_for(begins, child, end)):
            time.sleep(moment * seconds)
            _stop(child, how)
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                _check_orphans(child)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"no end after {limit:.0f} s")


def _wait_for(path: Path, child: int, end: float) -> bool:
    """Wait until a child has written a file; return False if it ends before."""
    while not path.exists():
        if time.monotonic() > end or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return False
        time.sleep(0.005)
    return True


def _stop(child: int, how: str) -> None:
    number = signal.SIGKILL if "kill" in how else signal.SIGINT
    with contextlib.suppress(ProcessLookupError):
        if how.endswith("group"):
            os.killpg(child, number)
        elif how.endswith("worker"):
            workers = [process for process in _group(child) if "spawn_main" in " ".join(process.cmdline())]
            if workers:
                os.kill(min(process.pid for process in workers), number)
        else:
            os.kill(child, number)


def _group(leader: int) -> list[psutil.Process]:
    """Return the living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _check_orphans(leader: int) -> None:
    """Raise if processes of a group are left after some seconds."""
    end = time.monotonic() + ORPHANS
    while left := _group(leader):
        if time.monotonic() > end:
            raise RuntimeError(f"{len(left)} processes are left: {[process.cmdline()[:4] for process in left]}")
        time.sleep(0.1)


def _time_limit(how: str, seconds: float) -> float:
    """Return the seconds until a call counts as hanging, given those of the undisturbed call."""
    return max(CLUSTER_TIME_LIMIT if how in CLUSTER_HOWS else TIME_LIMIT, TIMES_UNDISTURBED * seconds)


def _child(call: Callable, how: str, moment: float, sizes: tuple[int, float, int]) -> int:
    n_events, seconds, largest = sizes
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shown = os.fdopen(os.dup(2), "w")
    faulthandler.dump_traceback_later(_time_limit(how, seconds) - 10, file=shown)  # where it hangs
    faulthandler.enable(file=shown)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # also of processes that the call starts
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if how == "full disk":
        limit = int(moment * largest)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if how.endswith("file"):
        number = signal.SIGKILL if "kill" in how else signal.SIGINT
        _stop_at_event(max(1, round(moment * n_events)), number)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        status = call()
    except KeyboardInterrupt:
        return INTERRUPTED
    except EXPECTED_ERRORS:
        if not how:  # nobody disturbed it
            traceback.print_exc(file=shown)
            shown.flush()
        return FAILED
    except BaseException:  # noqa: BLE001 - any other error is a finding
        traceback.print_exc(file=shown)
        shown.flush()
        return OTHER
    return status if isinstance(status, int) else FINISHED


def _stop_at_event(n: int, number: int) -> None:
    """Send a signal to this process at its n-th file operation."""
    counter = Counter()

    def hook(event: str, args: tuple) -> None:
        if event in FILE_EVENTS:
            counter["n"] += 1
            if counter["n"] == n:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def measure(call: Callable, folder: Path, begins: Path | None = None) -> tuple[int, float, int]:
    """Run a call undisturbed in a child, and return its file operations, seconds and largest file."""
    reading, writing = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        counter = Counter()
        sys.addaudithook(lambda event, args: counter.update(n=event in FILE_EVENTS))
        status = _child(call, "", 0, (0, 10 * TIME_LIMIT, 0))
        os.write(writing, str(counter["n"]).encode())
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != FINISHED:
        raise RuntimeError(f"the undisturbed call ended with {status}")
    seconds = time.monotonic() - start if begins is None else time.time() - begins.stat().st_mtime
    largest = max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)
    return int(os.read(reading, 100)), seconds, largest


def soak(scenarios: dict, n_trials: int, seed: int) -> Counter:
    """Run trials over all scenarios; print each problem, and return the numbers of outcomes."""
    outcomes: Counter = Counter()
    rng = np.random.default_rng(seed)
    base = Path(tempfile.mkdtemp(prefix="soak"))
    measured = {}
    for name, scenario in scenarios.items():
        folder = base / name
        scenario.prepare(folder)
        measured[name] = measure(scenario.call(folder), folder, scenario.begins(folder))
        _check(scenario, folder, measured[name], finished=True)
        events, seconds, largest = measured[name]
        print(f"{name}: {events} file operations, {seconds:.1f} s, largest file {largest:,} bytes", flush=True)
    for trial in range(n_trials):
        name = list(scenarios)[trial % len(scenarios)]
        hows = scenarios[name].hows
        how = hows[trial // len(scenarios) % len(hows)]
        moment = float(rng.uniform(0, 1))
        outcomes[_trial(scenarios[name], name, how, moment, base / f"{name}{trial}", measured[name])] += 1
        if trial % 20 == 19:
            print(f"{trial + 1} trials", flush=True)
    return outcomes


def _trial(scenario, name: str, how: str, moment: float, folder: Path, sizes: tuple[int, float, int]) -> str:
    scenario.prepare(folder)
    try:
        status = run_limited(scenario.call(folder), how, moment, sizes, scenario.begins(folder))
        if status == OTHER:
            raise RuntimeError("an error of another type")
        _check(scenario, folder, sizes, finished=status == FINISHED)
        is_half_written = any(folder.glob(".*.partial*"))
        if is_half_written and status != -signal.SIGKILL:
            raise RuntimeError("a temporary file is left, though the process was not killed")
        again = run_limited(scenario.call(folder), "", 0, sizes)
        if again != FINISHED and scenario.repeats:
            raise RuntimeError(f"the repeated call ended with {again}")
        _check(scenario, folder, sizes, finished=scenario.repeats)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        print(f"PROBLEM {name}, {how} at {moment:.4f}: {type(error).__name__}: {error}", flush=True)
        return f"{name}, {how}: problem"
    ends = {FINISHED: "finished", FAILED: "error", INTERRUPTED: "interrupted", -signal.SIGKILL: "killed"}
    return f"{name}, {how}: {ends.get(status, status)}{' while it wrote' if is_half_written else ''}"


def _check(scenario, folder: Path, sizes: tuple[int, float, int], *, finished: bool) -> None:
    """Check a folder in a child: this process must have no threads when it forks."""
    if run_limited(lambda: scenario.check(folder, finished), "", 0, sizes) != FINISHED:
        raise RuntimeError("the folder is not as it should be")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=240)
    parser.add_argument("--fuzz", type=int, default=0, help="damaged files per format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of scenarios, or of formats")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import _soak_fuzz
    import _soak_scenarios

    outcomes: Counter = Counter()
    if arguments.trials:
        scenarios = _soak_scenarios.make(Path(tempfile.mkdtemp(prefix="soak")), arguments.only)
        outcomes = soak(scenarios, arguments.trials, arguments.seed)
    if arguments.fuzz:
        outcomes += _soak_fuzz.fuzz(arguments.fuzz, arguments.seed, arguments.only)
    for outcome, n in sorted(outcomes.items()):
        print(f"{n:5d}  {outcome}")
    n_problems = sum(n for outcome, n in outcomes.items() if outcome.endswith("problem"))
    print(f"{sum(outcomes.values())} trials, {n_problems} problems")
    sys.exit(n_problems > 0)


if __name__ == "__main__":
    main()
