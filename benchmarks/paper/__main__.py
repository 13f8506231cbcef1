"""Measure the studies that are not measured yet, and write the page.

`python -m benchmarks.paper` does everything; `python -m benchmarks.paper ablations --pair OSMFISH --seeds 0` a part;
`--jobs 8` measures in eight processes; `--again` measures what is kept; `--page` only writes the page.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

from benchmarks.paper import _cache
from benchmarks.paper._page import write_page
from benchmarks.paper._study import PAIRS, all_studies


def main() -> None:
    """Measure each study, pair and seed in a process of its own."""
    studies = all_studies()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"some of {', '.join(studies)}; all if none")
    parser.add_argument("--pair", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--seeds", type=int, nargs="+", help="the seeds of each study if not given")
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--again", action="store_true", help="measure what is kept, too")
    parser.add_argument("--page", action="store_true", help="measure nothing")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    args = parser.parse_args()
    unknown = sorted(set(args.studies) - set(studies))
    if unknown:
        parser.error(f"no study {unknown}; there are {sorted(studies)}")
    wanted = [
        (name, pair, seed)
        for name in args.studies or studies
        for pair in studies[name].pairs
        for seed in studies[name].seeds
        if pair in args.pair and seed in (args.seeds or studies[name].seeds)
    ]
    missing = [one for one in wanted if args.again or not _cache.is_measured(*one)]
    if args.here:
        warnings.filterwarnings("ignore")
        logging.disable(logging.WARNING)
        for name, pair, seed in missing:
            _cache.measure(name, studies[name], pair, seed)
        return
    if not args.page:
        with ThreadPoolExecutor(args.jobs) as pool:
            list(pool.map(_in_own_process, missing))
    write_page()


def _in_own_process(one: tuple[str, str, int]) -> None:
    name, pair, seed = one
    command = [
        sys.executable,
        "-m",
        "benchmarks.paper",
        name,
        "--pair",
        pair,
        "--seeds",
        str(seed),
        "--here",
        "--again",
    ]
    code = subprocess.run(command, check=False).returncode
    print(f"{name} {pair} seed {seed}: {'done' if code == 0 else f'FAILED ({code})'}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
