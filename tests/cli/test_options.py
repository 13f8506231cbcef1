import inspect
import runpy
import subprocess
import sys
from dataclasses import dataclass, fields
from importlib.metadata import version

import pytest

from stimpute import cli
from stimpute.cli._groups import changed_options, expand_options
from stimpute.cli._options import DataOptions, DemoDataOptions, ModelOptions, parse_value, split_names

COMMANDS = ["demo", "impute", "validate", "report", "embed"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_the_exit_status(run, command):
    result = run(command, "--help")
    assert result.status == 0
    text = " ".join(result.out.split())
    assert f"Example: stimpute {command}" in text
    assert "2 wrong input" in text
    assert "--debug" in text


@pytest.mark.parametrize("command", COMMANDS[:-1])
def test_every_command_on_data_has_all_data_options(run, command):
    text = run(command, "--help").out
    for option in ("--reference-layer", "--gene-symbols", "--reference-gene-symbols", "--spatial-key", "--set"):
        assert option in text


def test_help_without_arguments(run):
    result = run()
    assert result.status == 0
    assert "impute" in result.out


def test_version(run):
    result = run("--version")
    assert (result.status, result.out, result.err) == (0, version("stimpute") + "\n", "")


def test_help_does_not_import_torch():
    script = "import sys, stimpute, stimpute.cli; sys.exit(bool({'torch', 'scvi', 'scanpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["stimpute", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("stimpute.cli", run_name="__main__")
    assert not ended.value.code
    assert capsys.readouterr().out.strip() == version("stimpute")


def test_main_and_app_are_public():
    assert callable(cli.main)
    assert callable(cli.app)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("1e-3", 0.001),
        ("True", True),
        ("true", True),
        ("null", None),
        ("('cell', 'niche')", ("cell", "niche")),
        ('"a"', "a"),
        ("a b", "a b"),
        ("", ""),
    ],
)
def test_values_are_literals_or_text(text, value):
    assert parse_value(text) == value


def test_hyperparameters_by_name():
    options = ModelOptions(assignments=["n_steps=10", " name = a=b "])
    assert options.hyperparameters == {"n_steps": 10, "name": "a=b"}
    for wrong in ("n_steps", "=3", " = 3"):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            ModelOptions(assignments=[wrong]).hyperparameters  # noqa: B018


def test_relations_are_names_or_auto():
    assert ModelOptions().relation_names == "auto"
    assert ModelOptions(relations="protein, string,").relation_names == ["protein", "string"]
    assert split_names(" a,,b ") == ["a", "b"]


def test_setups_of_both_datasets():
    options = DemoDataOptions(layer="a", reference_layer=["b"], gene_symbols="c", spatial_key="none")
    assert options.spatial_setup == {
        "layer": "a",
        "batch_key": None,
        "spatial_key": None,
        "expression": "counts",
        "gene_symbols": "c",
    }
    assert options.reference_setup() == {"layer": "b", "expression": "counts", "gene_symbols": None}


def test_changed_options_are_listed_as_written():
    assert changed_options(ModelOptions()) == []
    assert changed_options(ModelOptions(seed=1, assignments=["a=1"])) == ["--set", "--seed"]
    assert changed_options(DemoDataOptions(reference_expression=["normalized"])) == ["--reference-expression"]


def test_a_dataclass_of_options_becomes_single_options():
    @dataclass(frozen=True, kw_only=True)
    class Group:
        size: int
        color: str = "red"

    def command(*, group: Group, name: str = "x") -> None:
        called.append((group, name))

    command.__annotations__["group"] = Group
    called = []
    expanded = expand_options(command)
    parameters = inspect.signature(expanded).parameters
    assert list(parameters) == ["size", "color", "name"]
    assert parameters["size"].default is inspect.Parameter.empty
    expanded(size=3, color="blue", name="y")
    assert called == [(Group(size=3, color="blue"), "y")]


def test_thirteen_data_options():
    assert len(fields(DataOptions)) == 13
