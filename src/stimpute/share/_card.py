"""The card of a shared model, filled from the model and its cross-validated accuracy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pandas as pd
from scipy.stats import spearmanr

from stimpute.share._document import plain
from stimpute.tl._cross_validate import MODEL

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

    from stimpute.model import StImputeModel
    from stimpute.tl import CrossValidation

CARD = """---
{header}
---

# Imputation of spatial transcriptomics: {n_genes} genes from a panel of {n_panel}

{description}

`stimpute.StImputeModel` predicts genes that a spatial experiment did not measure, from a single-cell reference of the \
same tissue, with an interval and a reliability for each gene.

## Use

```python
{use}
```

The slice needs all {n_input} genes that the model reads: {genes}.
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
USE = """import stimpute  # pip install "stimpute[hub]"
from scvi.hub import HubModel

hub = HubModel.pull_from_huggingface_hub("owner/name")  # reads a pickle: only from people you trust
model = stimpute.StImputeModel.load(hub.local_dir, adata=my_slice, reference=reference)
imputed = model.impute(genes=["Rorb"], interval=0.9)"""
USE_WITH_REFERENCE = """import stimpute  # pip install "stimpute[hub]"
from scvi.hub import HubModel

hub = HubModel.pull_from_huggingface_hub("owner/name")  # reads a pickle: only from people you trust
hub.load_model(adata=my_slice)
imputed = hub.model.impute(genes=["Rorb"], interval=0.9)"""
NOT_VALIDATED = (
    "Not cross-validated by whoever shared it. Call `stimpute.tl.cross_validate(spatial, reference)` on your data."
)
SHOWN = 30  # gene names in the card


def model_card(
    model: StImputeModel,
    accuracy: CrossValidation | None,
    description: str,
    license_info: str,
    tissues: Sequence[str],
    references: str,
    *,
    carries_reference: bool,
) -> ModelCard:
    """A card for the Hugging Face Hub; see :func:`stimpute.share.hub_model`."""
    from huggingface_hub import ModelCard

    cells, genes = model.reference_shape_
    panel, inputs = list(map(str, model.panel_)), list(map(str, model.input_genes_))
    return ModelCard(
        CARD.format(
            header=_header(model, license_info, tissues),
            description=description,
            n_genes=f"{genes:,}",
            n_panel=len(panel),
            n_input=len(inputs),
            genes=", ".join(inputs[:SHOWN]) + (f" and {len(inputs) - SHOWN} more" if len(inputs) > SHOWN else ""),
            use=USE_WITH_REFERENCE if carries_reference else USE,
            reference=_reference(cells, genes, model.fingerprint_, carries_reference),
            accuracy=NOT_VALIDATED if accuracy is None else _accuracy(accuracy),
            facts=markdown(_facts(model)),
            parameters=json.dumps(plain({k: v for k, v in vars(model._recipe).items() if k != "state"}), indent=1),
            references=references or "Method of the recipe `paper`: Zeng et al. 2024, Commun. Biol. 7:1271.",
        )
    )


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown; numbers with three digits."""
    cell = lambda value: f"{value:.3f}" if isinstance(value, float) else str(value).replace("|", "\\|")
    rows = [["", *map(str, table.columns)], ["---"] * (table.shape[1] + 1)]
    rows += [[cell(name), *map(cell, row)] for name, row in zip(table.index, table.to_numpy(object), strict=True)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _header(model: StImputeModel, license_info: str, tissues: Sequence[str]) -> str:
    from huggingface_hub import ModelCardData

    tags = ["biology", "genomics", "single-cell", "spatial-transcriptomics", "gene-imputation"]
    tags += ["model_cls_name:StImputeModel", f"scvi_version:{model.registry_['scvi_version']}"]
    tags += [f"anndata_version:{version('anndata')}", "modality:rna", *(f"tissue:{name}" for name in tissues)]
    return ModelCardData(license=license_info, library_name="scvi-tools", tags=tags).to_yaml()


def _reference(cells: int, genes: int, fingerprint: str, carried: bool) -> str:
    where = "It comes with the model." if carried else "It does not come with the model: pass the same one."
    return f"The reference has {cells:,} cells × {genes:,} genes, fingerprint `{fingerprint}`. {where}"


def _accuracy(result: CrossValidation) -> str:
    chosen = (result.genes["metric"] == "pcc") & (result.genes["method"] == MODEL)
    pcc = result.genes[chosen].set_index("gene")["value"]
    rank = spearmanr(result.predicted.var.loc[pcc.index, "reliability"], pcc).statistic
    text = (
        f"Means over {len(pcc)} genes, each predicted by a model that never saw it. The reliability that was predicted "
        f"for a gene and the correlation that it reached have a rank correlation of {rank:.2f}."
    )
    best = pcc.sort_values(ascending=False)
    named = [", ".join(f"{gene} {value:.2f}" for gene, value in part.items()) for part in (best[:5], best[-5:])]
    return f"{markdown(result.summary)}\n\n{text} Best (PCC): {named[0]}. Worst: {named[1]}."


def _facts(model: StImputeModel) -> pd.DataFrame:
    n_cells = model.registry_["field_registries"]["X"]["summary_stats"].get("n_cells")
    facts: dict[str, Any] = {
        "recipe": model._recipe.name,
        "trained on, spatial cells": n_cells,
        "genes shared with the reference": len(model.panel_),
        "gene relations": ", ".join(model.relations_),
        "setup of the spatial data": json.dumps(plain(model.registry_["setup_args"])),
        "setup of the reference": json.dumps(plain(model.reference_setup_)),
        "stimpute": version("stimpute"),
        "scvi-tools": model.registry_["scvi_version"],
    }
    return pd.DataFrame({"value": facts})
