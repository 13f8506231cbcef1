"""Measure the studies that are not measured yet, and write the page.

`python -m benchmarks.paper` does everything; `python -m benchmarks.paper ablations --pair OSMFISH --seeds 0` a part;
`--jobs 8` measures in eight processes of one thread each; `--again` measures what is kept; `--page` only writes the
page. A run that was stopped goes on where it was: the first seed of every study comes first. The pairs of the paper
(`datasets.paper_pairs`) are measured, too, where the folder of the data has a folder of that name. A task that needs
positions, counts, cell types or protein vectors is skipped on a pair that lacks them, and says so.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
from _pairs import is_here
from benchmarks.paper import _cache
from benchmarks.paper._lacks import SkippedError
from benchmarks.paper._page import write_page
from benchmarks.paper._study import PAIRS, PAPER_PAIRS, Study, Task, all_studies, tasks_of

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SKIPPED = 3  # exit code of a process that skipped a task, and said why


def main() -> None:
    """Measure each task in a process of its own, and write the page."""
    studies = all_studies()
    args = _arguments(studies)
    tasks = [task for name in args.studies or studies for task in tasks_of(name, studies[name])]
    tasks = [task for task in tasks if _is_wanted(task, args)]
    missing = [task for task in tasks if args.again or not _cache.is_measured(task)]
    missing.sort(key=lambda task: task.seed)
    if args.list:
        print(*missing, sep="\n")
        return
    if args.here:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        sys.exit(SKIPPED if _measure_here(missing, studies) else 0)
    if not args.page:
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(partial(_in_own_process, timeout=args.timeout), missing))
    write_page()


def _arguments(studies: dict) -> argparse.Namespace:
    here = [*PAIRS, *filter(is_here, PAPER_PAIRS)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"some of {', '.join(studies)}; all if none")
    parser.add_argument("--pair", nargs="+", choices=[*PAIRS, *PAPER_PAIRS], default=here)
    parser.add_argument("--seeds", type=int, nargs="+", help="the seeds of each study if not given")
    parser.add_argument("--part", nargs="+", help="the parts of each study if not given")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--timeout", type=float, help="seconds after which a task is stopped")
    parser.add_argument("--again", action="store_true", help="measure what is kept, too")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="only list what is not measured yet")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    args = parser.parse_args()
    if unknown := sorted(set(args.studies) - set(studies)):
        parser.error(f"no study {unknown}; there are {sorted(studies)}")
    return args


def _is_wanted(task: Task, args: argparse.Namespace) -> bool:
    return (
        task.pair in args.pair
        and (not args.seeds or task.seed in args.seeds)
        and (not args.part or task.part in args.part)
    )


def _measure_here(tasks: list[Task], studies: dict[str, Study]) -> list[Task]:
    """Measure tasks in this process, and return those that were skipped."""
    skipped = []
    for task in tasks:
        try:
            _cache.measure(task, studies[task.study])
        except SkippedError as reason:
            print(f"{task}: skipped, because {reason}", file=sys.stderr, flush=True)
            skipped.append(task)
    return skipped


def _in_own_process(task: Task, timeout: float | None) -> None:
    command = [sys.executable, "-m", "benchmarks.paper", task.study, "--here", "--again"]
    command += ["--pair", task.pair, "--seeds", str(task.seed)]
    if task.part:
        command += ["--part", task.part]
    start = time.time()
    process = subprocess.Popen(command, env={**os.environ, **ONE_THREAD})
    try:
        code = process.wait(timeout)
        if code == SKIPPED:
            return
        outcome = "done" if code == 0 else f"FAILED ({code})"
    except subprocess.TimeoutExpired:
        outcome = "STOPPED"
        for running in [*psutil.Process(process.pid).children(recursive=True), process]:  # a system has its own process
            running.kill()
        process.wait()
    print(f"{task}: {outcome}, {time.time() - start:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
