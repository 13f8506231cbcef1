"""The examples of the developer guide do what it says."""

import re
from pathlib import Path
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from small import fit, set_up, small_pair

from stimpute import cli
from stimpute.cli._groups import expand_options
from stimpute.data._relation_store import relation_names

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="runs in the repository, not from the sdist")


def example(name):
    """Execute the block of the guide that defines a function, and return the function."""
    page = (ROOT / "docs" / "developer.md").read_text()
    (block,) = (text for text in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if f"\ndef {name}(" in text)
    names = {}
    exec(compile(block, "developer.md", "exec"), names)
    return names[name]


@pytest.fixture(scope="module")
def trained():
    return fit(*set_up(*small_pair()), "crossfit", n_metacells=20)


def test_a_relation_from_gene_sets_is_used(trained):
    spatial, reference = small_pair()
    genes = list(reference.var_names)
    example("add_gene_sets")(reference, {"first": genes[:20], "second": genes[10:40]})
    assert "gene_sets" in relation_names(reference)
    assert reference.var["has_gene_sets"].sum() == 40
    model = fit(*set_up(spatial, reference), "crossfit", n_metacells=20)
    assert "gene_sets" in model.relations
    assert model.fingerprint != trained.fingerprint


def test_a_metric():
    truth = np.array([[0.0, 1.0], [2.0, 5.0]])
    np.testing.assert_allclose(example("mae")(truth, np.ones((2, 2))), [1, 2])
    np.testing.assert_allclose(example("mae")(truth, np.ones((2, 2)), axis="cell"), [0.5, 2.5])


def test_a_plot():
    imputed = ad.AnnData(np.zeros((3, 40)), var=pd.DataFrame({"n_edges": np.arange(40)}, [f"g{i}" for i in range(40)]))
    (ax,) = example("edges")(imputed, bins=8, return_ax=True)
    assert [bar.get_height() for bar in ax.patches] == [5] * 8
    with pytest.raises(KeyError, match=r"n_edges.*model\.impute"):
        example("edges")(ad.AnnData(np.zeros((3, 2))))


@pytest.fixture
def stimpute(capsys):
    """Run the command line with one more command."""
    known = list(cli.app.registered_commands)
    cli.app.command()(expand_options(example("reliability")))

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(argument) for argument in arguments])
        return SimpleNamespace(status=stop.value.code or 0, err=capsys.readouterr().err)

    yield run
    cli.app.registered_commands[:] = known


def test_a_command(trained, stimpute, tmp_path):
    trained.save(tmp_path / "model", save_reference=True)
    trained.adata.write_h5ad(tmp_path / "spatial.h5ad")
    out = tmp_path / "genes.csv"
    options = ("--spatial", tmp_path / "spatial.h5ad", "--out", out)
    result = stimpute("reliability", tmp_path / "model", *options)
    assert result.status == 0, result.err
    expected = trained.gene_reliability()
    assert f"Wrote {len(expected)} genes" in result.err
    np.testing.assert_allclose(pd.read_csv(out, index_col=0)["reliability"], expected["reliability"], rtol=1e-4)
    missing = stimpute("reliability", tmp_path / "none", *options)
    assert missing.status == 2
    assert "does not exist" in missing.err
