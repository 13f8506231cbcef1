"""Write the card of a shared model from the model and its cross-validated accuracy."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import spearmanr

from stimpute._messages import name_list
from stimpute.share._document import plain
from stimpute.tl import MODEL_NAME

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

    from stimpute.model import StImputeModel
    from stimpute.tl import CrossValidation

CARD = """---
{header}
---

# Imputation of spatial transcriptomics: {n_genes} genes from {n_shared} shared genes

{description}

`stimpute.StImputeModel` predicts genes that a spatial experiment did not measure, from a single-cell reference of the \
same tissue, with an interval and a reliability for each gene.

## Use

```python
{use}
```

A section needs all {n_input} genes that the model reads: {genes}.
{reference}

## Accuracy

{accuracy}

Imputed values are predictions, smoother than measurements. Read a gene's `reliability` before its map, and do not
test differential expression on imputed values as if they had been measured.

## Model

{facts}

```json
{parameters}
```

## References

{references}
"""
USE = """import stimpute  # installed with its extra `hub`
from scvi.hub import HubModel

hub = HubModel.pull_from_huggingface_hub("owner/name")  # reads a pickle: only if you trust its author
model = stimpute.StImputeModel.load(hub.local_dir, adata=section, reference=reference)
imputed = model.impute(genes=["Rorb"], interval=0.9)"""
USE_WITH_REFERENCE = """import stimpute  # installed with its extra `hub`
from scvi.hub import HubModel

hub = HubModel.pull_from_huggingface_hub("owner/name")  # reads a pickle: only if you trust its author
hub.load_model(adata=section)
imputed = hub.model.impute(genes=["Rorb"], interval=0.9)"""
NOT_VALIDATED = (
    "The author did not cross-validate it. Call `stimpute.tl.cross_validate(spatial, reference)` on your data."
)
MARKUP = re.compile(r"([\\`\[\]|])")  # of code, links, pictures and tables in Markdown
N_SHOWN = 30  # gene names in the card
N_EXTREMES = 5  # best and worst genes in the card


def model_card(
    model: StImputeModel,
    accuracy: CrossValidation | None,
    description: str,
    license_info: str,
    tissues: Sequence[str],
    references: str,
    *,
    has_reference: bool,
) -> ModelCard:
    """Write a card for the Hugging Face Hub; see :func:`stimpute.share.to_hub`."""
    from huggingface_hub import ModelCard

    _, n_genes = model.reference_shape
    return ModelCard(
        CARD.format(
            header=_header(model, license_info, tissues),
            description=description,
            n_genes=f"{n_genes:,}",
            n_shared=len(model.shared_genes),
            n_input=len(model.input_genes),
            genes=name_list(map(_escape, model.input_genes), N_SHOWN),
            use=USE_WITH_REFERENCE if has_reference else USE,
            reference=_reference(model, has_reference),
            accuracy=NOT_VALIDATED if accuracy is None else _accuracy(accuracy),
            facts=markdown(_facts(model)),
            parameters=json.dumps(plain(model.recipe.hyperparameters()), indent=1),
            references=references or "Method of the recipe `paper`: Zeng et al. 2024, Commun. Biol. 7:1271.",
        )
    )


def markdown(table: pd.DataFrame) -> str:
    """Format a table in Markdown; numbers with three digits, names without markup."""
    rows = [["", *map(str, table.columns)], ["---"] * (table.shape[1] + 1)]
    for name, row in zip(table.index, table.to_numpy(object), strict=True):
        rows.append([_cell(name), *map(_cell, row)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return _escape(value)


def _escape(name: Any) -> str:
    """Write a name as text: no tags, links, pictures or code, which whoever opens the card would load."""
    return MARKUP.sub(r"\\\1", html.escape(" ".join(str(name).split())))


def _header(model: StImputeModel, license_info: str, tissues: Sequence[str]) -> str:
    from huggingface_hub import ModelCardData

    tags = ["biology", "genomics", "single-cell", "spatial-transcriptomics", "gene-imputation"]
    tags += ["model_cls_name:StImputeModel", f"scvi_version:{model.registry_['scvi_version']}"]
    tags += [f"anndata_version:{version('anndata')}", "modality:rna", *(f"tissue:{name}" for name in tissues)]
    return ModelCardData(license=license_info, library_name="scvi-tools", tags=tags).to_yaml()


def _reference(model: StImputeModel, included: bool) -> str:
    n_cells, n_genes = model.reference_shape
    where = "It comes with the model." if included else "It does not come with the model: pass the same one."
    return f"The reference has {n_cells:,} cells × {n_genes:,} genes, fingerprint `{model.fingerprint}`. {where}"


def _accuracy(result: CrossValidation) -> str:
    is_pcc = (result.genes["metric"] == "pcc") & (result.genes["method"] == MODEL_NAME)
    pcc = result.genes[is_pcc].set_index("gene")["value"]
    rank = spearmanr(result.predicted.var.loc[pcc.index, "reliability"], pcc).statistic
    text = (
        f"Means over {len(pcc)} genes, each predicted by a model that never saw it. The reliability that was predicted "
        f"for a gene and its observed correlation have a rank correlation of {rank:.2f}."
    )
    ranked = pcc.sort_values(ascending=False)
    best = _with_values(ranked[:N_EXTREMES])
    worst = _with_values(ranked[-N_EXTREMES:])
    return f"{markdown(result.summary)}\n\n{text} Best (PCC): {best}. Worst: {worst}."


def _with_values(values: pd.Series) -> str:
    return ", ".join(f"{_escape(gene)} {value:.2f}" for gene, value in values.items())


def _facts(model: StImputeModel) -> pd.DataFrame:
    facts: dict[str, Any] = {
        "recipe": model.recipe.name,
        "trained on, spatial cells": model.sizes.n_cells,
        "genes shared with the reference": len(model.shared_genes),
        "gene relations": ", ".join(model.relations),
        "setup of the spatial data": json.dumps(plain(model.spatial_setup)),
        "setup of the reference": json.dumps(plain(model.reference_setup)),
        "stimpute": version("stimpute"),
        "scvi-tools": model.registry_["scvi_version"],
    }
    return pd.DataFrame({"value": facts})
