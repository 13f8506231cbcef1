"""Measure the systems of the comparison.

`python -m benchmarks.peers --install` makes their environment, `python -m benchmarks.peers --jobs 16` measures.

Every system, pair and seed is measured in a process of its own, the costly ones first, and kept; what is kept is not
measured again. `python -m benchmarks.paper systems` puts it together. `--systems stplus --pair OSMFISH --seeds 0
--cells 200 --folds 1` is a trial, whose rows are printed and not kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _pairs import load_pair

from peers import _measure
from peers._environments import install

PAIRS = ("STARMAP_V1", "OSMFISH", "SYNTHETIC", "MERFISH_HYPOTHALAMUS", "OSMFISH_VISP")
N_CELLS = 1000


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="make the environment, and do nothing else")
    parser.add_argument("--systems", nargs="+", choices=_measure.SYSTEMS, default=list(_measure.SYSTEMS))
    parser.add_argument("--pair", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cells", type=int, default=N_CELLS)
    parser.add_argument("--folds", type=int, help="only the first folds")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--here", action="store_true", help="measure in this process, also what is kept")
    args = parser.parse_args()
    if args.install:
        install()
        return
    trial = args.folds is not None or args.cells != N_CELLS
    wanted = [
        (system, pair, seed)
        for system in reversed(_measure.SYSTEMS)
        for pair in PAIRS
        for seed in args.seeds
        if system in args.systems and pair in args.pair
    ]
    if args.here or trial:
        for system, pair, seed in wanted:
            table = _measure.measure(system, load_pair(pair, args.cells), seed, args.folds, keep=not trial)
            if trial:
                print(table.groupby("method", sort=False).mean(numeric_only=True).T.round(3).to_string())
        return
    missing = [one for one in wanted if not _measure.is_measured(*one)]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(_in_own_process, missing))


def _in_own_process(one: tuple[str, str, int]) -> None:
    system, pair, seed = one
    options = ["--systems", system, "--pair", pair, "--seeds", str(seed), "--here"]
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.peers", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    state = "done" if done.returncode == 0 else f"FAILED: {_measure.last_line(done.stderr)}"
    print(f"{system} {pair} seed {seed}: {state}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
