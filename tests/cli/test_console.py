"""The table of scores explains itself."""

import io
import json
import sys

import pandas as pd
import pytest

from stimpute.cli import main
from stimpute.cli._console import Console, explain_scores, write_json


def explain(ssim, rmse_z):
    rows = {"kNN": {"ssim": 0.4, "rmse_z": 1.1}, "stimpute": {"ssim": ssim, "rmse_z": rmse_z}}
    return explain_scores(pd.DataFrame(rows).T, "stimpute")


def test_a_model_that_is_ahead_needs_no_reason():
    assert len(explain(0.5, 0.9)) == 1


def test_a_column_in_which_the_model_is_behind_has_its_reason():
    assert "ssim: values of stimpute are expected values" in explain(0.3, 0.9)[1]
    assert "rmse_z: 1 for a constant" in explain(0.5, 1.05)[1]


def test_a_method_that_is_ahead_is_named_with_what_to_do():
    table = pd.DataFrame({"pcc": [0.3, 0.2], "mse": [0.5, 0.6], "css": [0.7, 0.8]}, index=["kNN", "stimpute"])
    sentences = explain_scores(table, "stimpute")
    assert len(sentences) == 2
    assert sentences[1].startswith("pcc, mse: kNN is ahead of stimpute")
    assert "`stimpute validate --seed 1`" in sentences[1]


def test_other_columns_are_not_needed():
    table = pd.DataFrame({"pcc": [0.1, 0.2]}, index=["kNN", "stimpute"])
    assert len(explain_scores(table, "stimpute")) == 1


def test_a_console_that_lacks_a_character_gets_another_one(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(SystemExit):
        main(["--version"])
    stream.write("PCC ↑\n")
    stream.flush()
    assert stream.buffer.getvalue().decode("cp1252").split()[-1] == "?"


def test_titles_are_text(capsys):
    Console(quiet=False, as_json=False).print_table("gene", pd.DataFrame({"pcc": [0.5]}, index=["a"]), "by [red] a[/b]")
    assert "by [red] a[/b]" in capsys.readouterr().out


def test_json_is_there_before_the_program_ends(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), write_through=False)
    monkeypatch.setattr(sys, "stdout", stream)
    write_json({"url": "http://localhost:5006", "pcc": float("nan")})
    assert json.loads(stream.buffer.getvalue()) == {"url": "http://localhost:5006", "pcc": None}


def test_names_between_colons_stay_as_they_are(capsys):
    console = Console(quiet=False, as_json=False)
    console.print("Wrote run:key:1.h5ad")
    console.print_table("gene", pd.DataFrame({"pcc": [0.5]}, index=["HLA:a:1"]), "Title")
    printed = capsys.readouterr()
    assert "run:key:1" in printed.err
    assert "HLA:a:1" in printed.out
