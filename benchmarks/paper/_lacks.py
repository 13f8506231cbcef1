"""Say what each study needs of a pair, and skip tasks whose pair lacks it."""

from __future__ import annotations

from _pairs import Pair
from benchmarks.paper._predictions import FURTHER, SYSTEMS
from benchmarks.paper._study import Task

_SYSTEMS = dict.fromkeys((*SYSTEMS, *FURTHER), ("counts",))  # they normalize counts themselves
# By study and text: a part needs what stands at each text that its name contains; all parts contain the empty one.
NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "ablations": {
        "ESM-2": ("proteins",),
        "PERMUTED vectors": ("proteins",),
        "centered vectors": ("proteins",),
        "crossfit, co-expression graph": ("proteins",),  # which it leaves out
        "no spatial neighbors": ("positions",),
    },
    "accuracy": {"published totals": ("counts",), "own values": ("positions",)},
    "clustering": {"": ("labels",), **_SYSTEMS},
    "downstream": {"": ("positions", "labels"), **_SYSTEMS},
    "ligand_receptor": {"": ("labels",)},
    "patterns": {"": ("positions",), **_SYSTEMS},
    "preprocessing": {"": ("counts",)},
    "sensitivity": {"paper; degree": ("proteins",), "n_spatial_neighbors": ("positions",)},
    "systems": {"": ("counts",), "novosparc": ("positions",), "tissue": ("positions",)},
    "unmeasured": {"": ("labels",), **_SYSTEMS},
}


class SkippedError(Exception):
    """A pair lacks what a task needs, which is no failure; the message says what."""


def needs_of(task: Task) -> set[str]:
    """Collect what a task needs of its pair."""
    return {name for text, names in NEEDS.get(task.study, {}).items() if text in task.part for name in names}


def check(task: Task, pair: Pair) -> None:
    """Raise a `SkippedError` if the pair lacks what the task needs."""
    needs = needs_of(task)
    if missing := [name for name in pair.lacks if name in needs]:
        raise SkippedError(f"{pair.name} has no {' and no '.join(missing)}")
