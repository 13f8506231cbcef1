import json
import re
from pathlib import Path

import pandas as pd
import pytest

BASELINES = {"constant", "reference mean, calibrated", "kNN"}


@pytest.mark.slow
def test_a_table_and_a_report(run, data, fast, read_page, tmp_path):
    options = ("--folds", 2, "-o", "accuracy.csv", "--report", "page.html", "--json")
    result = run("validate", *data, *fast, *options)
    assert (result.status, result.err) == (0, "")
    told = json.loads(result.out)
    assert set(told["summary"]) == {*BASELINES, "stimpute"}
    assert told["files"] == ["accuracy.csv", "page.html"]
    table = pd.read_csv(tmp_path / "accuracy.csv")
    assert set(table) == {"method", "gene", "metric", "value"}
    page = read_page(tmp_path / "page.html")
    assert page.headings[0] == "Accuracy on held-out genes"
    assert "90% were asked for" in page.text


def test_the_table_for_humans_says_which_direction_is_better(run, data, fast):
    result = run("validate", *data, *fast, "--folds", 2)
    assert result.status == 0
    assert "Mean over held-out genes" in result.out
    assert "kNN" in result.out
    assert "pcc ↑" in result.out
    assert "rmse_z ↓" in result.out
    assert "cell_css ↑" in result.out
    assert "↑ higher is better, ↓ lower is better" in result.out
    assert "\r" not in result.out + result.err  # no progress bars in a file


def test_accuracy_within_groups_of_cells(run, data, fast, read_page):
    options = ("--folds", 2, "--groupby", "cell_type")
    result = run("validate", *data, *fast, *options)
    assert result.status == 0
    assert "Mean pcc of held-out genes, by cell_type" in result.out
    assert re.search(r"all cells +│ +120 │", result.out)
    assert "within groups" in result.out
    told = json.loads(run("validate", *data, *fast, *options, "--json", "--report", "page.html").out)
    assert {"all cells", "within groups"} < set(told["by_group"])
    assert "Accuracy within groups" in read_page(Path("page.html")).headings


@pytest.mark.parametrize("command", ["validate", "report"])
def test_a_column_of_groups_that_does_not_exist(run, data, fast, command):
    result = run(command, *data, *fast, "--groupby", "type", "--folds", 2)
    assert result.status == 2
    assert "spatial.h5ad: 'type' is not in `obs`, which has ['cell_type'" in result.err
    assert "--groupby" in result.err


@pytest.mark.slow
def test_the_paper_recipe_has_no_intervals(run, data, read_page, tmp_path):
    options = ("--recipe", "paper", "--set", "n_rounds=1", "--set", "n_neighbors=10", "--report", "page.html", "-q")
    result = run("validate", *data, "--folds", 2, *options)
    assert (result.status, result.err) == (0, "")
    assert "Intervals" not in read_page(tmp_path / "page.html").headings


@pytest.mark.slow
def test_a_report_is_one_page_without_requests(run, data, fast, folder, read_page, tmp_path):
    options = ("--proteins", folder / "proteins.npz", "--ablation", "protein", "--folds", 2)
    result = run("report", *data, *fast, *options, "--title", "A <b>tissue</b> & more", "-o", "page.html")
    assert result.status == 0
    page = read_page(tmp_path / "page.html")
    assert page.headings == [
        "Accuracy on held-out genes",
        "Reliability of genes",
        "Cells that the reference explains",
        "All genes",
        "Maps",
        "Intervals",
        "Effect of the gene relation",
        "Genes and cells",
        "What made this page",
    ]
    assert page.sources
    assert all(source.startswith("data:") for source in page.sources)
    assert not page.tags & {"iframe", "object", "embed", "b"}
    assert str(data[1]) in page.text  # the files that it was made from
    assert "A &lt;b&gt;tissue&lt;/b&gt; &amp; more" in page.text
    without_images = re.sub('base64,[^"]*', "", page.text)  # their code may hold any letters
    assert "http" not in without_images.replace('http-equiv="', "")


def test_a_relation_that_does_not_exist(run, data, fast):
    result = run("report", *data, *fast, "--ablation", "protein", "--folds", 2)
    assert result.status == 2
    assert "--proteins FILE" in result.err
    assert "Cross-validating" not in result.err  # found before time is spent


def test_an_input_is_not_replaced(run, data, tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("cell,A\na,1\n")
    result = run("validate", "--spatial", table, *data[2:], "-o", tmp_path / "." / "cells.csv")
    assert result.status == 2
    assert "--out is" in result.err
    assert "which is an input too" in result.err
    assert table.read_text() == "cell,A\na,1\n"
