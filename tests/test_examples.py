"""The examples of the public docstrings run, on a small tissue in place of the reader's data."""

import doctest
import importlib
import inspect
import sys

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from small import bare, fit, set_up, small_pair

import stimpute
from stimpute import StImputeModel

MODULES = ("pp", "tl", "pl", "datasets", "share", "report")
WITHOUT_NETWORK = {"pp.fetch_proteins", "pp.embed_proteins", "share.to_hub"}  # these need one
NOT_RUN = {*WITHOUT_NETWORK, "datasets.read", "explore"}  # which needs the folder of a platform; and a server
OPTIONAL = {"tl.to_spatialdata": "spatialdata", "report.write": "jinja2", "share.save": "safetensors"}
OPTIONAL["share.load"] = "safetensors"
GENES = {"unmeasured": ("Rorb", "Slc32a1"), "measured": ("Gad1",)}


def examples():
    """The examples of every public function and method by its name."""
    functions = {"StImputeModel": StImputeModel, "explore": stimpute.explore}
    functions |= {f"StImputeModel.{name}": value for name, value in inspect.getmembers(StImputeModel, callable)}
    for module_name in MODULES:
        module = importlib.import_module(f"stimpute.{module_name}")
        functions |= {f"{module_name}.{name}": getattr(module, name) for name in module.__all__}
    found = {}
    for name, function in functions.items():
        own = function.__doc__ if (getattr(function, "__module__", "") or "").startswith("stimpute") else None
        sources = [example.source for example in doctest.DocTestParser().get_examples(inspect.cleandoc(own or ""))]
        if sources:
            found[name] = sources
    return found


EXAMPLES = examples()


def named_pair():
    """A small tissue with the names of genes that the examples use."""
    spatial, reference = small_pair()
    unmeasured = reference.var_names.difference(spatial.var_names)
    names = dict(zip(unmeasured, GENES["unmeasured"], strict=False))
    names |= dict(zip(spatial.var_names, GENES["measured"], strict=False))
    for adata in (spatial, reference):
        adata.var_names = [names.get(gene, gene) for gene in adata.var_names]
    return spatial, reference


@pytest.fixture
def reader(monkeypatch, tmp_path):
    """What a reader has before an example: packages, data and a trained model, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    train = StImputeModel.train
    quick = {"max_epochs": 1, "enable_progress_bar": False, "accelerator": "cpu"}
    monkeypatch.setattr(StImputeModel, "train", lambda self, **given: train(self, **given | quick))
    spatial, reference = set_up(*named_pair())
    markers = {"cell type": ["a", "b"], "official gene symbol": list(spatial.var_names[:2])}
    pd.DataFrame(markers).to_csv("PanglaoDB.csv")
    yield {
        "spatial": spatial,
        "reference": reference,
        "cortex": bare(reference)[::2].copy(),
        "glia": bare(reference)[1::2].copy(),
        "model": fit(spatial, reference, "crossfit", n_metacells=20),
        "stimpute": stimpute,
        "StImputeModel": StImputeModel,
    }
    plt.close("all")


def test_the_important_functions_have_an_example():
    public = {name for name in EXAMPLES if name.partition(".")[0] in MODULES}
    plots = {f"pl.{name}" for name in importlib.import_module("stimpute.pl").__all__}
    assert plots <= public
    assert {"StImputeModel", "tl.cross_validate", "tl.impute", "pp.add_protein_embeddings"} <= set(EXAMPLES)
    assert set(EXAMPLES) >= NOT_RUN


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - NOT_RUN))
def test_an_example_runs(name, reader, monkeypatch):
    pytest.importorskip(OPTIONAL.get(name, "stimpute"))
    if name == "tl.to_spatialdata":
        imputed = reader["model"].impute(genes=["Rorb"])
        reader["sdata"] = stimpute.tl.to_spatialdata(bare(reader["spatial"]), imputed)
        del reader["sdata"].tables["imputed"]
    for package in ("scanpy", "squidpy", "pandas"):
        reader[package] = pytest.importorskip(package)
    monkeypatch.setattr(sys, "displayhook", lambda value: None)
    for source in EXAMPLES[name]:
        exec(compile(source, name, "single"), reader)
