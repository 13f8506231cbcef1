"""The table of scores explains itself."""

import io
import sys

import pandas as pd
import pytest

from stimpute.cli import main
from stimpute.cli._console import explain_scores


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
