"""Measure the systems of the comparison.

`python -m benchmarks.peers --install` makes their environment, `python -m benchmarks.peers --jobs 16` measures.

Every system, pair and seed, of the costly systems every fold, is measured in a process of its own, and kept; what is
kept is not measured again. All systems with the first seed come first. `python -m benchmarks.paper systems` puts it
together, system by system (`--part stplus`). `--trial 200` shows the scores of the first fold with 200 cells, and
keeps nothing.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from peers import _measure
from peers._environments import install
from peers._score import held_out, score_genes

PAIRS = ("MERFISH_HYPOTHALAMUS", "STARMAP_V1", "SYNTHETIC", "OSMFISH", "OSMFISH_VISP")


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="make the environment, and do nothing else")
    parser.add_argument("--systems", nargs="+", choices=_measure.SYSTEMS, default=_measure.SYSTEMS)
    parser.add_argument("--pair", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--trial", type=int, metavar="CELLS", help="show one fold with so many cells, keep nothing")
    args = parser.parse_args()
    if args.install:
        install()
        return
    wanted = [
        (system, pair, seed)
        for seed in args.seeds
        for system in reversed(_measure.SYSTEMS)
        for pair in PAIRS
        if system in args.systems and pair in args.pair
    ]
    if args.trial:
        for one in wanted:
            try_one(*one, args.trial)
        return
    jobs = [(*one, folds) for one in wanted for folds in _measure.missing(*one)]
    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(_measure_and_say, jobs))


def try_one(system: str, pair: str, seed: int, n_cells: int) -> None:
    """Show the scores of one fold."""
    fold = _measure.folds_of(pair, seed, n_cells)[0]
    [answer] = _measure.answers(system, [fold], seed)
    means = score_genes(held_out([fold], [answer])).mean()
    print(pair, answer.cost["name"], means.round(3).to_string(), answer.cost["versions"], sep="\n", flush=True)


def _measure_and_say(job: tuple[str, str, int, list[int]]) -> None:
    system, pair, seed, folds = job
    try:
        _measure.measure(*job)
        state = "done"
    except RuntimeError as error:
        state = f"FAILED: {error}"
    print(f"{system} {pair} seed {seed} folds {folds}: {state}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
