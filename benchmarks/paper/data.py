"""Table 1: what the pairs hold."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
from _pairs import DATA, MAX_REFERENCE, Pair, with_proteins
from benchmarks.paper._page import Page
from benchmarks.paper._study import Study, all_studies
from sklearn.metrics.pairwise import cosine_similarity

from stimpute import datasets

ORDER = 0
COSINES = ["median cosine", "nine in ten cosines above"]
FROM = ["tissue", "technology", "source"]
SECTION = ("somatosensory cortex", "osmFISH", "Codeluppi 2018")
SIMULATED = ("simulated", "simulated", "`datasets.synthetic_tissue`")
SOURCES = {
    ("OSMFISH", "spatial"): SECTION,
    ("OSMFISH", "reference"): ("somatosensory cortex", "Smart-seq", "Allen Institute, as packaged by Li 2022"),
    ("OSMFISH_VISP", "spatial"): (f"{SECTION[0]}, cortical regions", *SECTION[1:]),
    ("OSMFISH_VISP", "reference"): ("visual cortex", "Smart-seq", "Allen Institute"),
    ("MERFISH_HYPOTHALAMUS", "spatial"): ("preoptic hypothalamus", "MERFISH", "Moffitt 2018"),
    ("MERFISH_HYPOTHALAMUS", "reference"): ("hypothalamus, neurons", "STRT-seq", "Romanov 2017"),
    ("STARMAP_V1", "spatial"): ("visual cortex", "STARmap", "Wang 2018"),
    ("STARMAP_V1", "reference"): ("motor cortex", "10x", "BICCN, 500 genes of it by Rahimi 2024"),
    ("SYNTHETIC", "spatial"): SIMULATED,
    ("SYNTHETIC", "reference"): SIMULATED,
}


def measure(pair: Pair, seed: int) -> pd.DataFrame:
    """Count cells, genes and molecules of the files, and what the studies use of them."""
    spatial, reference = _whole(pair)
    known = with_proteins(pair.reference, pair)
    has_protein = known.var.get("has_protein", pd.Series(False, known.var_names))
    used_cells = min(Study.n_cells, pair.spatial.n_obs)
    return pd.DataFrame(
        [
            {
                **_count("spatial", spatial, used_cells),
                **_of_genes(has_protein[pair.spatial.var_names]),
                **_of_vectors(known[:, pair.spatial.var_names]),
            },
            {**_count("reference", reference, pair.reference.n_obs), **_of_genes(has_protein)},
        ]
    )


def _whole(pair: Pair) -> tuple[ad.AnnData, ad.AnnData]:
    """Read the files of a pair, of which `pair` holds what the studies use."""
    if pair.name in datasets.paper_pairs():
        return datasets.paper_pair(pair.name, data_dir=DATA)
    if (DATA / pair.name).is_dir():
        return tuple(ad.read_h5ad(DATA / pair.name / f"{side}.h5ad") for side in ("spatial", "reference"))
    return pair.spatial, pair.reference


def _count(side: str, adata: ad.AnnData, used_cells: int) -> dict[str, object]:
    detected = np.asarray((adata.X > 0).sum(1)).ravel()
    return {
        "data": side,
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "median count per cell": np.median(np.asarray(adata.X.sum(1)).ravel()),
        "median genes per cell": np.median(detected),
        "zeros": 1 - detected.sum() / (adata.n_obs * adata.n_vars),
        "cells used": used_cells,
    }


def _of_genes(has_protein: pd.Series) -> dict[str, int]:
    return {"genes used": len(has_protein), "of these with a vector": int(has_protein.sum())}


def _of_vectors(genes: ad.AnnData) -> dict[str, float]:
    """Compute the median cosine between the protein vectors of two genes, and what nine in ten pairs of genes exceed.

    They are NaN if fewer than two genes have a vector.
    """
    known = genes.var["has_protein"].to_numpy() if "protein" in genes.varm else np.array([], bool)
    if known.sum() < 2:
        return dict.fromkeys(COSINES, np.nan)
    vectors = genes.varm["protein"][known]
    cosine = cosine_similarity(vectors)[np.triu_indices(len(vectors), 1)]
    return dict(zip(COSINES, np.quantile(cosine, (0.5, 0.1)), strict=True))


def show(results: pd.DataFrame, page: Page) -> None:
    """Write where the data come from, what they hold, and what is small in them."""
    counts = results.drop(columns="seed").set_index(["pair", "data"])
    counts["zeros"] = counts["zeros"].map("{:.0%}".format)
    sources = pd.DataFrame(SOURCES, index=FROM).T.rename_axis(counts.index.names)
    page.table(sources.reindex(counts.index).fillna(""), "Tissue (all of the mouse), technology and source")
    cosines = counts.xs("spatial", level="data").reindex(columns=COSINES).dropna()
    counts = counts.drop(columns=COSINES, errors="ignore")
    page.table(counts, "What the files hold, and what the studies use of it", digits=1)
    page.text(
        f"The studies draw at most {Study.n_cells} cells of a section and {MAX_REFERENCE} of a reference. They use the "
        f"genes that both datasets have; a reference keeps all its genes. {_on_all_cells()}",
        _on_references(counts),
        _on_vectors(counts),
    )
    page.table(cosines, "Cosines between the protein vectors of two shared genes: how different ESM-2 makes genes", 2)


def _on_all_cells() -> str:
    """Name the studies that use all cells of a section."""
    found = []
    for study in all_studies().values():
        pairs = study.pairs if study.n_cells is None else study.all_cells
        if pairs and study.title != STUDY.title:
            found.append(f"{study.title} ({', '.join(pairs)})")
    return f"All cells of a section are used in: {'; '.join(found)}." if found else ""


def _on_references(counts: pd.DataFrame) -> str:
    """Name the references that have no gene but those of the section."""
    used = counts["genes used"].unstack("data", sort=False)
    same = [pair for pair in used.index if used.loc[pair, "reference"] <= used.loc[pair, "spatial"]]
    return (
        f"References with no gene but those of the section: {', '.join(same) or 'none'}. From these, and from a few "
        "hundred genes, little can be learned about relations of genes. Such pairs cannot show what a "
        "whole-transcriptome reference would."
    )


def _on_vectors(counts: pd.DataFrame) -> str:
    """Name the pairs in which shared genes have no protein vector, and say what the vectors are."""
    genes = counts.xs("spatial", level="data")
    few = genes[genes["of these with a vector"] < genes["genes used"]]
    text = "; ".join(f"{pair} {row['of these with a vector']} of {row['genes used']}" for pair, row in few.iterrows())
    return (
        f"Pairs in which not every shared gene has a protein vector: {text or 'none'}. The other genes fall back on "
        "co-expression, so that on such a pair ESM-2 is tested on some of the genes only. The "
        "vectors of all real pairs are those that the authors published with their code (ESM-2, 3 billion parameters, "
        "2560 numbers per gene). They are the representation of the last residue, not the mean over residues that is "
        "usual; 13 genes differ between the published tables, and a few paralogs share one vector. We did not compute "
        "others."
    )


STUDY = Study(
    title="The data",
    paper="Table 1",
    question="What do the pairs hold, where do they come from, and what do the studies use of them?",
    measure=measure,
    show=show,
    seeds=(0,),
    n_cells=None,
)
