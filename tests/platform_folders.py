"""Write tiny files in the layouts of platforms and tools, with the names that spatialdata-io and scanpy read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import zarr
from anndata import AnnData
from scipy import io, sparse


def cell_ids(n_cells: int) -> tuple[np.ndarray, list[str]]:
    """Cell ids of Xenium, as numbers, shape (n_cells, 2), and as text: 8 letters for the digits, and a suffix."""
    numbers = np.column_stack([np.arange(1, n_cells + 1), np.ones(n_cells, int)]).astype(np.uint32)
    texts = [
        "".join(chr(ord("a") + int(digit, 16)) for digit in f"{first:08x}") + f"-{last}" for first, last in numbers
    ]
    return numbers, texts


def write_10x_h5(path: Path, adata: AnnData, barcodes: list[str] | None = None, n_controls: int = 0) -> Path:
    """Write a feature matrix of 10x Genomics, version 3; controls are further features."""
    counts = sparse.csr_matrix(adata.X)
    counts = sparse.hstack([counts, sparse.csr_matrix(np.ones((adata.n_obs, n_controls)))]).tocsr()
    names = [*adata.var_names, *(f"NegControlProbe_{i}" for i in range(n_controls))]
    kinds = ["Gene Expression"] * adata.n_vars + ["Negative Control Probe"] * n_controls
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array(barcodes or list(adata.obs_names), dtype="S")
        matrix["data"] = counts.data.astype(np.int32)
        matrix["indices"] = counts.indices.astype(np.int64)
        matrix["indptr"] = counts.indptr.astype(np.int64)
        matrix["shape"] = np.array(counts.shape[::-1], dtype=np.int32)
        features = matrix.create_group("features")
        features["id"] = np.array([f"ENS{i}" for i in range(len(names))], dtype="S")
        features["name"] = np.array(names, dtype="S")
        features["feature_type"] = np.array(kinds, dtype="S")
        features["genome"] = np.array(["mm10"] * len(names), dtype="S")
    return path


def write_10x_folder(folder: Path, adata: AnnData) -> Path:
    """Write the three gzipped files of a feature matrix of 10x Genomics."""
    folder.mkdir()
    rows = [f"ENS{i}\t{name}\tGene Expression" for i, name in enumerate(adata.var_names)]
    for name, lines in {"features": rows, "barcodes": list(adata.obs_names)}.items():
        with gzip.open(folder / f"{name}.tsv.gz", "wt") as file:
            file.write("\n".join(lines) + "\n")
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        io.mmwrite(file, sparse.coo_matrix(adata.X).T.astype(int))
    return folder


def write_xenium(folder: Path, adata: AnnData) -> Path:
    """Write the part of a Xenium output folder that holds cells."""
    folder.mkdir()
    numbers, texts = cell_ids(adata.n_obs)
    specs = {"analysis_sw_version": "xenium-3.1.0.0", "pixel_size": 0.2125}
    (folder / "experiment.xenium").write_text(json.dumps(specs))
    write_10x_h5(folder / "cell_feature_matrix.h5", adata, texts, n_controls=2)
    x, y = np.asarray(adata.obsm["spatial"]).T
    area = np.full(adata.n_obs, 50.0)
    cells = pd.DataFrame({"cell_id": texts, "x_centroid": x, "y_centroid": y, "cell_area": area, "nucleus_area": area})
    cells.to_parquet(folder / "cells.parquet")
    with zarr.storage.ZipStore(folder / "cells.zarr.zip", mode="w") as store:
        group = zarr.open_group(store, mode="w", zarr_format=2)
        group.create_array("cell_id", data=numbers)
        names = {"column_names": ["cell_centroid_x", "cell_centroid_y"]}
        group.create_array("cell_summary", data=np.column_stack([x, y]), attributes=names)
    return folder


def write_merscope(folder: Path, adata: AnnData) -> Path:
    """Write the part of a region of MERSCOPE that holds cells."""
    (folder / "images").mkdir(parents=True)
    np.savetxt(folder / "images" / "micron_to_mosaic_pixel_transform.csv", np.eye(3))
    ids = pd.Index([str(10**15 + i) for i in range(adata.n_obs)])
    counts = adata.to_df().astype(int).set_axis(ids)
    counts.assign(**{"Blank-1": 1}).to_csv(folder / "cell_by_gene.csv", index_label="cell")
    x, y = np.asarray(adata.obsm["spatial"]).T
    cells = pd.DataFrame({"fov": 0, "volume": 500.0, "center_x": x, "center_y": y}, index=ids)
    cells.to_csv(folder / "cell_metadata.csv", index_label="EntityID")
    return folder


def write_cosmx(folder: Path, adata: AnnData, n_fovs: int = 2) -> Path:
    """Write the flat files of CosMx, with empty folders for images and labels."""
    for name in ("CellComposite", "CellLabels"):
        (folder / name).mkdir(parents=True)
    fov = np.arange(adata.n_obs) % n_fovs + 1
    cell = np.arange(adata.n_obs) // n_fovs + 1
    ids = {"fov": fov, "cell_ID": cell}
    counts = adata.to_df().astype(int).reset_index(drop=True).assign(NegPrb1=1, SystemControl1=0)
    pd.DataFrame(ids).join(counts).to_csv(folder / "Run1_exprMat_file.csv", index=False)
    x, y = np.asarray(adata.obsm["spatial"]).T
    places = {"CenterX_local_px": x, "CenterY_local_px": y}
    places |= {"CenterX_global_px": x + 5000 * fov, "CenterY_global_px": y}
    pd.DataFrame(ids | {"Area": 900} | places).to_csv(folder / "Run1_metadata_file.csv", index=False)
    pd.DataFrame({"fov": range(1, n_fovs + 1)}).to_csv(folder / "Run1_fov_positions_file.csv", index=False)
    return folder


def write_seqfish(folder: Path, adata: AnnData, regions: tuple[str, ...] = ("Roi1", "Roi2")) -> Path:
    """Write the tables of seqFISH by Spatial Genomics, and the picture whose scale the reader needs."""
    import tifffile

    folder.mkdir()
    for number, region in enumerate(regions):
        part = adata[number :: len(regions)]
        labels = pd.RangeIndex(1, part.n_obs + 1)
        part.to_df().astype(int).set_axis(labels).to_csv(folder / f"{region}_CellxGene.csv")
        x, y = np.asarray(part.obsm["spatial"]).T
        cells = pd.DataFrame({"label": labels, "area": 100.0, "center_x": x, "center_y": y})
        cells.to_csv(folder / f"{region}_CellCoordinates.csv", index=False)
        scale = {"PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1, "axes": "YX"}
        tifffile.imwrite(folder / f"{region}_DAPI.tiff", np.zeros((4, 4), np.uint16), ome=True, metadata=scale)
    return folder
