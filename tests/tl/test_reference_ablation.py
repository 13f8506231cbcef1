import numpy as np
import pandas as pd
import pytest
from small import QUIET, small_pair

from stimpute import pp, tl


@pytest.fixture(scope="module")
def parts():
    spatial, reference = small_pair(proteins=False)
    return spatial, {"first": reference[::2].copy(), "second": reference[1::2, : reference.n_vars - 25].copy()}


@pytest.mark.slow
def test_every_choice_of_references_predicts_the_same_genes(parts):
    spatial, references = parts
    result = tl.reference_ablation(spatial, references, n_folds=2, train_kwargs=QUIET, progress=False)
    methods = ["without first", "without second", "stimpute"]
    assert set(methods) < set(result.summary.index)
    assert result.genes.groupby("method")["gene"].nunique().nunique() == 1


@pytest.mark.slow
def test_genes_without_any_reference_are_zero(parts):
    spatial, references = parts
    result = tl.reference_ablation(spatial, references, n_folds=2, train_kwargs=QUIET, progress=False)
    lacking = ~result.predicted.var_names.isin(references["second"].var_names)
    assert lacking.any()
    assert (result.predicted.layers["without first"][:, lacking] == 0).all()
    assert result.predicted.layers["without first"][:, ~lacking].any()


@pytest.mark.slow
def test_a_choice_equals_a_model_on_these_references(parts):
    """With one left out, the method is what cross-validation gives without it, on the same folds."""
    spatial, references = parts
    same_genes = {"first": references["first"], "copy": references["first"]}
    result = tl.reference_ablation(spatial, same_genes, n_folds=2, train_kwargs=QUIET, progress=False)
    alone = tl.cross_validate(spatial, references["first"], n_folds=2, train_kwargs=QUIET, progress=False)
    np.testing.assert_allclose(
        result.predicted.layers["without copy"], alone.predicted.layers["stimpute"], rtol=1e-4, atol=1e-5
    )


def test_markers_are_a_reference(parts):
    spatial, references = parts
    rows = pd.DataFrame({"cell_type": list("aabb"), "gene": list(spatial.var_names[:4])})
    chosen = {"cells": references["first"], "markers": pp.marker_reference(rows)}
    setups = {"markers": {"expression": "normalized"}}
    result = tl.cross_validate(
        spatial, chosen, n_folds=2, reference_setup=setups, train_kwargs=QUIET, baselines=False, progress=False
    )
    assert np.isfinite(result.predicted.layers["stimpute"]).all()


def test_one_reference_leaves_nothing_to_compare(parts):
    spatial, references = parts
    with pytest.raises(ValueError, match="two or more"):
        tl.reference_ablation(spatial, [references["first"]])
