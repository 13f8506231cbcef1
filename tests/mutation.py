"""Change the code in one place at a time, and list the changes that no test notices.

Run it in the root of the repository for one of the rooms below, with mutmut 3.8.1 installed:

    python tests/mutation.py calibrate --out calibrate.jsonl

The changes are those that mutmut makes to the bodies of functions, without texts of errors and warnings. They are
applied here, because mutmut leaves out functions with a decorator, which are most of the prediction, and runs for a
function only the tests in which it saw a call: a call in a fixture that several tests share is seen in the first of
them. Modules and tests are loaded once. Each change is tried in a fork, in which the code of one function is replaced,
and which ends at the first test that fails.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

import libcst as cst
import pytest
from hypothesis import Phase, settings
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

SOURCE = Path("src")
CROSSFIT = [f"tests/recipes/test_crossfit_{name}.py" for name in ("predictor", "ensemble", "calibration")]
ROOMS = {  # files, and the tests that may notice a change, where those of the mirrored file run first
    "attention": (["module/_attention.py"], ["tests/module"]),
    "calibrate": (["calibrate/*.py"], ["tests/calibrate"]),
    "crossfit": ([f"recipes/_crossfit_{name}.py" for name in ("predictor", "ensemble", "calibration")], CROSSFIT),
    "data": (["data/*.py"], ["tests/data", "tests/model/test_lazy.py"]),
}
TESTED_BY = {  # files with tests of another name
    "_coexpression": "test_relations",
    "_fingerprint": "test_reference",
}
NEVER_CHANGED = {"cast", "isinstance", "len", "super"}
STATUS = {0: "survived", 1: "killed", 2: "not run"}  # by the exit code of a fork
KILLED = 1
NOT_RUN = 2  # as the code of a mutant does not fit into the function


@dataclass(frozen=True)
class Mutant:
    """A change of one expression or statement in a function."""

    path: Path
    function: str
    line: int
    number: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """Return what tells it from other mutants of the same source."""
        return f"{self.path}:{self.line}:{self.function}:{self.number}"


class Changes(cst.CSTVisitor):
    """Collect the changes of all statements in functions, without texts of errors and warnings."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.scopes: list[cst.FunctionDef | cst.ClassDef] = []
        self.found: list[tuple[str, int, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_out(node):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.scopes.append(node)
        elif any(isinstance(scope, cst.FunctionDef) for scope in self.scopes):
            line = self.get_metadata(PositionProvider, node).start.line
            self.found += [(self._function(), line, node, changed) for changed in _changed(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self.scopes and original_node is self.scopes[-1]:
            self.scopes.pop()

    def _function(self) -> str:
        """Return the name of the outermost function, with its classes."""
        names = []
        for scope in self.scopes:
            names.append(scope.name.value)
            if isinstance(scope, cst.FunctionDef):
                break
        return ".".join(names)


def _is_left_out(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.Annotation | cst.Decorator | cst.Parameters | cst.Raise):
        return True
    if isinstance(node, cst.Expr):  # docstrings
        return isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
    if isinstance(node, cst.Call):
        name = cst.Module([]).code_for_node(node.func)
        return name in NEVER_CHANGED or name.startswith("warnings.")
    return False


def _changed(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            changed = list(operator(node))
            yield from changed[:1] if isinstance(node, cst.SimpleString) else changed


def find_mutants(path: Path) -> list[Mutant]:
    """Return the mutants of a file that differ from it and from each other."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()), unsafe_skip_copy=True)
    changes = Changes()
    wrapper.visit(changes)
    mutants: dict[str, Mutant] = {wrapper.module.code: None}
    for number, (function, line, node, changed) in enumerate(changes.found):
        source = wrapper.module.deep_replace(node, changed).code
        before, after = (" ".join(wrapper.module.code_for_node(part).split()) for part in (node, changed))
        mutants.setdefault(source, Mutant(path, function, line, number, before, after, source))
    return [mutant for mutant in mutants.values() if mutant is not None]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def live_functions(path: Path, function: str) -> list[FunctionType]:
    """Return the functions in memory that were defined in a file by this name, whatever wraps them."""
    importlib.import_module(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    return [
        found
        for found in gc.get_objects()
        if isinstance(found, FunctionType)
        and found.__code__.co_qualname == function
        and found.__code__.co_filename == str(path.resolve())
    ]


def apply(mutant: Mutant, functions: list[FunctionType]) -> None:
    """Replace the code of the functions."""
    module = compile(mutant.source, str(mutant.path.resolve()), "exec")
    code = [code for code in _codes(module) if code.co_qualname == mutant.function][-1]
    for function in functions:
        function.__code__ = code


class Runner:
    """A plugin of pytest that runs the collected tests once for each mutant, in a fork that stops at a failure."""

    def __init__(self, mutants: list[Mutant], out: Path, only_mirrored: bool) -> None:
        self.mutants = mutants
        self.only_mirrored = only_mirrored
        self.out = out
        self.results: list[tuple[Mutant, str]] = []

    def pytest_collection(self) -> None:
        """Let hypothesis not look for smaller examples of a failure."""
        quick = settings(settings.default, phases=[Phase.explicit, Phase.generate])
        settings.register_profile("quick", quick)
        settings.load_profile("quick")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo) -> None:
        """Stop at a failure, before its traceback is written, which would take longer than most tests."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            os._exit(KILLED)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("The tests cannot be collected.")
        start = time.perf_counter()
        if self._run(session.items, None, [], limit=3600) != "survived":
            raise session.Interrupted("The tests fail without any change.")
        seconds = time.perf_counter() - start
        _write(f"{len(session.items)} tests in {seconds:.0f} s; {len(self.mutants)} mutants")
        functions = {}
        for mutant in self.mutants:
            key = (mutant.path, mutant.function)
            if key not in functions:
                functions[key] = live_functions(*key)
        gc.freeze()
        with self.out.open("a") as file:
            for mutant in self.mutants:
                start = time.perf_counter()
                found = functions[mutant.path, mutant.function]
                items = self._items(session, mutant)
                status = self._run(items, mutant, found, limit=20 + 5 * seconds) if found else "not found"
                self.results.append((mutant, status))
                line = {"name": mutant.name, "status": status, "before": mutant.before, "after": mutant.after}
                line["seconds"] = round(time.perf_counter() - start, 2)
                file.write(json.dumps(line) + "\n")
                file.flush()
        return True

    def _items(self, session: pytest.Session, mutant: Mutant) -> list[pytest.Item]:
        """Return the tests of the mirrored file, then the others."""
        items = sorted(session.items, key=lambda item: not _mirrors(item.path, mutant.path))
        mirrored = [item for item in items if _mirrors(item.path, mutant.path)]
        return mirrored if mirrored and self.only_mirrored else items

    def _run(self, items: list[pytest.Item], mutant: Mutant | None, functions: list[FunctionType], limit: float) -> str:
        pid = os.fork()
        if pid == 0:
            _run_in_child(items, mutant, functions)
        end = time.monotonic() + limit
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return STATUS.get(os.waitstatus_to_exitcode(status), "killed")
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return "timeout"
            time.sleep(0.005)


def _run_in_child(items: list[pytest.Item], mutant: Mutant | None, functions: list[FunctionType]) -> None:
    code = NOT_RUN
    try:
        plugins = items[0].config.pluginmanager
        plugins.unregister(plugins.get_plugin("terminalreporter"))
        if mutant is not None:
            apply(mutant, functions)
        code = KILLED
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        code = 0
    finally:
        os._exit(code)


def _mirrors(test: Path, source: Path) -> bool:
    return test.stem in (f"test{source.stem}", TESTED_BY.get(source.stem))


def _results(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _write(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def main() -> None:
    """Read the arguments, run the tests for each mutant, and write the survivors and a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--out", type=Path, required=True, help="results are added here; none is computed twice")
    parser.add_argument("--files", nargs="*", help="patterns of files in src/stimpute, instead of those of the room")
    parser.add_argument("--tests", nargs="*", help="instead of those of the room")
    parser.add_argument("--mirrored", action="store_true", help="run only the mirrored test file where there is one")
    parser.add_argument("--only", type=Path, help="earlier results: run only what survived there")
    parser.add_argument("--sample", type=int, help="at most so many mutants per file, drawn with the seed 0")
    options = parser.parse_args()
    patterns, tests = ROOMS[options.room]
    files = [path for pattern in options.files or patterns for path in sorted((SOURCE / "stimpute").glob(pattern))]
    mutants = []
    for path in files:
        found = find_mutants(path)
        if options.sample is not None and options.sample < len(found):
            found = random.Random(0).sample(found, options.sample)
        mutants += found
    done = {result["name"] for result in _results(options.out)}
    mutants = [mutant for mutant in mutants if mutant.name not in done]
    if options.only is not None:
        survivors = {result["name"] for result in _results(options.only) if result["status"] == "survived"}
        mutants = [mutant for mutant in mutants if mutant.name in survivors]
    runner = Runner(mutants, options.out, options.mirrored)
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
        pytest.main([*arguments, f"--basetemp={folder}/tests", *(options.tests or tests)], plugins=[runner])
    for mutant, status in runner.results:
        if status == "survived":
            _write(f"{mutant.path}:{mutant.line} in {mutant.function}\n  - {mutant.before}\n  + {mutant.after}")
    for path in files:
        counts = Counter(status for mutant, status in runner.results if mutant.path == path)
        _write(f"{path}: {sum(counts.values())} mutants, {dict(counts)}")


if __name__ == "__main__":
    main()
