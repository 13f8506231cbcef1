"""The sections on what predictions are good for, from made-up tables."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.paper import (
    _bootstrap,
    _compare,
    _modules_page,
    _page,
    _scalars,
    _verdicts,
    clustering,
    cost,
    downstream,
    ligand_receptor,
    modules,
    needs,
    patterns,
    unmeasured,
)
from benchmarks.paper._page import Page

METHODS = ("paper", "crossfit", "kNN", "SpaGE", "paper, reference permuted", "crossfit, reference permuted", "measured")
VERDICTS = set(_verdicts.ORDER[:-1])


@pytest.fixture(autouse=True)
def docs(tmp_path, monkeypatch):
    """Write figures into a temporary folder."""
    monkeypatch.setattr(_page, "DOCS", tmp_path)
    return tmp_path


def table(levels, columns, **fixed):
    """Make one row per combination of levels, with random columns."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(list(itertools.product(*levels.values())), columns=list(levels))
    return rows.assign(**{column: rng.uniform(0.1, 0.9, len(rows)) for column in columns}, **fixed)


def clusters(**fixed):
    levels = {"pair": ["OSMFISH"], "seed": [0], "method": [*METHODS, clustering.LABELS_PERMUTED]}
    return table(levels | {"resolution": [0.5, 1.0]}, [*clustering.METRICS, "n_clusters"], **fixed)


def made_up():
    """Make tables of every study, as they come from the cache."""
    at = {"pair": ["OSMFISH"], "seed": [0]}
    by_method = at | {"method": METHODS}
    maps = table(at | {"method": METHODS[:2], "cell_type": list("ab") * 9}, ["x", "y"], part="map")
    genes = [unmeasured.MATRICES | {}]
    yield "clustering", clustering, pd.concat([clusters(part="scores"), maps])
    of_matrix = [clusters(genes=name, n_genes=50) for name in genes[0]]
    inputs = clusters(genes=np.nan, n_genes=9).replace({"method": {"kNN": unmeasured.INPUTS}})
    yield "unmeasured", unmeasured, pd.concat([*of_matrix, inputs])
    agreement = table(
        at | {"method": [*METHODS, _modules_page.REFERENCE, _modules_page.PERMUTED]},
        ["modules", "modules measured", "ari", _modules_page.STRUCTURE, "nearest found"]
        + ["mean absolute correlation", "measured mean absolute correlation"],
        part="agreement",
    )
    names = ["C1qa, C1qb", "Lyz2, Pf4"]
    is_there = table(at | {_modules_page.GENES: [*names, "Pax3, Pax7"], "method": ["in the data"]}, [], part="named")
    is_there["both"] = [True, True, False]
    ranked = table(
        at | {_modules_page.GENES: names, "method": [*METHODS[:5], _modules_page.REFERENCE]},
        ["same module by chance"],
        part="named",
        rank=3,
        n_genes=1000,
    )
    ranked["same module"] = True
    yield "modules", modules, pd.concat([agreement, is_there, ranked])
    scored = table(
        by_method | {"gene": ["Rorb", "Gfap"]},
        ["css", "mse", "pcc", "PCC within types", "mean, predicted / measured", "sd, predicted / measured"]
        + ["Moran's I", "Moran's I measured"],
        part="scores",
    )
    regions = table(by_method | {"gene": ["Rorb"], "region": ["Pia Layer 1", "Layer 4"]}, ["mean"], part="regions")
    drawn = table(at | {"x": range(5), "y": range(5)}, ["Rorb, measured", "Rorb, paper", "Rorb, crossfit"], part="map")
    yield "patterns", patterns, pd.concat([scored, regions, drawn])
    numbers = ["type accuracy", "markers per type", "marker rank", "top markers found", "false markers", "domain ARI"]
    numbers += ["Moran's I", "Moran's I rank", "Moran's I higher"]
    yield "downstream", downstream, table(by_method, numbers, types=5, genes=20)
    numbers = ["significant", "of these measured", "of the measured, found", "rank correlation of scores"]
    tested = table(by_method | {"genes": [ligand_receptor.RANDOM]}, numbers)
    yield "ligand_receptor", ligand_receptor, tested
    reduced = table(
        at | {"method": METHODS[:3], "level": ["10", "100"], "needs": ["shared genes"]}, ["pcc", "pcc, all data"]
    )
    depth = reduced.assign(needs="depth of the reference", level=["5%", "20%"] * 3)
    yield "needs", needs, pd.concat([reduced.head(0), reduced, depth])
    of_recipes = {"train_seconds": 5.0, "impute_seconds": 2.0}
    size = {"pair": ["SYNTHETIC"], "seed": [0], "cells": [1000, 4000]}
    recipes = table(size | {"method": METHODS[:2]}, ["seconds", "peak_gib"], **of_recipes)
    others = table(size | {"method": ["SpaGE", "novoSpaRc"]}, ["seconds", "peak_gib"])
    stopped = pd.DataFrame([{"pair": "SYNTHETIC", "seed": 0, "cells": 9000, "method": "SpaGE", "error": "stopped"}])
    yield "cost", cost, pd.concat([recipes, others, stopped])


TABLES = {name: (module, results) for name, module, results in made_up()}


@pytest.mark.parametrize("name", TABLES)
def test_a_section_has_tables_and_verdicts(name, docs):
    module, results = TABLES[name]
    page = Page(_page.DOCS)
    module.STUDY.show(results, page)
    text = "\n".join(page.parts)
    assert "|" in text
    assert "nan" not in text
    assert page.verdicts
    assert {verdict["verdict"] for verdict in page.verdicts} <= VERDICTS
    for figure in docs.rglob("*.png"):
        assert figure.stat().st_size < 150_000
        assert f"{figure.stem}.png" in text


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("missing", [("SpaGE",), ("SpaGE", "kNN"), ("crossfit",), ("paper",)])
@pytest.mark.slow
def test_a_section_is_written_without_some_methods(name, missing):
    module, results = TABLES[name]
    kept = results[~results["method"].isin(missing)] if "method" in results else results
    page = Page(_page.DOCS)
    module.STUDY.show(kept, page)
    assert page.parts


def test_several_pairs_and_seeds_are_shown():
    module, results = TABLES["clustering"]
    others = [results.assign(pair=pair, seed=seed) for pair, seed in (("STARMAP_V1", 0), ("STARMAP_V1", 1))]
    page = Page(_page.DOCS)
    module.STUDY.show(pd.concat([results, *others]), page)
    text = "\n".join(page.parts)
    assert "STARMAP_V1: agreement" in text
    assert "OSMFISH 1, STARMAP_V1 2" in text


def results_of(values):
    rows = [("A", seed, method, value) for method, seeds in values.items() for seed, value in enumerate(seeds)]
    return pd.DataFrame(rows, columns=["pair", "seed", "method", "ari"])


def test_ahead_means_by_the_margin_with_every_seed():
    results = results_of({"ours": [0.5, 0.5], "close": [0.49, 0.49], "unsure": [0.4, 0.5], "behind": [0.4, 0.4]})
    found = _scalars.differences(results, "ari", "ours", ["close", "unsure", "behind", "absent"])
    assert list(found["better"]) == [False, False, True]
    assert list(found["worse"]) == [False, False, False]


def test_genes_must_be_nearer_than_with_the_reference_permuted():
    module, results = TABLES["modules"]
    is_control = results["method"] == "paper, reference permuted"
    for rank, expected in ((3, "does not hold"), (4, "holds")):
        given = results.assign(rank=results["rank"].mask(is_control & results["rank"].notna(), rank))
        page = Page(_page.DOCS)
        module.STUDY.show(pd.concat([given, given.assign(pair="STARMAP_V1")]), page)
        of_paper = [verdict for verdict in page.verdicts if "`crossfit`" not in verdict["claim"]]
        verdicts = {verdict["claim"][:13]: verdict["verdict"] for verdict in of_paper}
        assert verdicts["Pax3 and Pax7"] == "cannot be tested"
        assert verdicts["C1qa and C1qb"] == expected


def genes_of(differences, n=40):
    """Make one row per seed and gene of two methods, of which the first is ahead by a number for each seed."""
    noise = np.random.default_rng(0).normal(0, 0.01, n)
    names = [f"gene{i}" for i in range(n)]
    tables = []
    for seed, difference in enumerate(differences):
        values = {"first": 0.5 + difference + noise, "second": np.full(n, 0.5)}
        for method, pcc in values.items():
            tables.append(pd.DataFrame({"method": method, "gene": names, "pcc": pcc}).assign(seed=seed, pair="OSMFISH"))
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize(
    ("differences", "better", "worse"), [((0.1, 0.2), True, False), ((0.3, -0.1), False, False), ((-0.1,), False, True)]
)
def test_a_difference_counts_with_the_same_sign_in_every_seed(differences, better, worse):
    tests = _compare.paired(genes_of(differences), "pcc", "first", ["second"])
    assert tests["p"].iloc[0] < 0.05
    assert _compare.is_better(tests).tolist() == [better]
    assert _compare.is_worse(tests).tolist() == [worse]
    assert ("signs differ" in _compare.show_tests(tests)["seeds"].iloc[0]) == (differences == (0.3, -0.1))


def test_draws_of_the_genes_find_what_is_there():
    genes = genes_of((0.1, 0.2))
    genes = genes[genes["method"] == "first"]
    found = _bootstrap.drawn(genes, ["pcc"], lambda values: values[..., 0].mean(1) - 0.5).loc["OSMFISH"]
    assert found["low"] < found["difference"] < found["high"]
    assert found["low"] == pytest.approx(0.15, abs=0.02)
    assert found["agree"]
    assert not len(_bootstrap.drawn(genes.assign(pair="SYNTHETIC"), ["pcc"], lambda values: values[..., 0].mean(1)))


def test_halves_of_the_cells_repeat_what_differs_between_types():
    rng = np.random.default_rng(0)
    labels = pd.Series(np.repeat(["a", "b"], 60))
    values = rng.normal(0, 1, (120, 4))
    values[:60, 0] += 5
    genes = np.array([[0, 0], [1, 2]])
    (scores, called), (others, also_called) = ligand_receptor.halves(values, labels, genes, 0)
    assert called[0, 0, 0]
    assert also_called[0, 0, 0]
    assert not np.allclose(scores, others)
    assert scores.shape == (2, 2, 2)


def test_evidence_without_seeds_gets_those_of_the_study():
    page = Page(_page.DOCS, seeds="3 seeds")
    page.verdict("a claim", "docs", "holds", "OSMFISH: +0.1 (every seed)")
    page.verdict("another", "docs", "holds", "OSMFISH: +0.1; 1 seed")
    page.verdict("a third", "docs", "cannot be tested", "no data")
    found = [verdict["evidence"] for verdict in page.verdicts]
    assert found == ["OSMFISH: +0.1 (every seed); 3 seeds", "OSMFISH: +0.1; 1 seed", "no data"]
