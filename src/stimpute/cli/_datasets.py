"""Read the datasets of a command, and set them up; errors begin with the name of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stimpute.cli._errors import name_file
from stimpute.cli._files import read_adata
from stimpute.cli._options import DataFiles, DataOptions, split_names
from stimpute.cli._references import MARKERS, ONLY

if TYPE_CHECKING:
    import anndata as ad

    References: TypeAlias = ad.AnnData | dict[str, ad.AnnData]

MARKER_ARGUMENTS = ("cell_type", "gene", "score")


@dataclass(frozen=True)
class Pair:
    """The spatial data and the reference, read and checked.

    Attributes
    ----------
    spatial
        The spatial data, set up for the model.
    reference
        The reference, or several by name, set up for the model.
    setups
        `spatial_setup` and `reference_setup`, as functions of `stimpute.tl` take them.
    """

    spatial: ad.AnnData
    reference: References
    setups: dict[str, Any]


def read_pair(data: DataOptions) -> Pair:
    """Read the spatial data, the references and the proteins, and set them up.

    Raises
    ------
    ValueError
        If a file cannot be read, or does not hold what the options say.
    """
    setups = {name: data.reference_setup(name) for name in data.references}
    spatial = read_spatial(data, data.spatial_setup)
    references = read_references(data, setups)
    if list(references) == [ONLY]:
        setup = {"spatial_setup": data.spatial_setup, "reference_setup": setups[ONLY]}
        return Pair(spatial, references[ONLY], setup)
    return Pair(spatial, references, {"spatial_setup": data.spatial_setup, "reference_setup": setups})


def read_spatial(data: DataFiles, setup: Mapping[str, Any]) -> ad.AnnData:
    """Read the spatial data, and set them up.

    Raises
    ------
    ValueError
        If there is no such option, or the file cannot be read.
    """
    if data.spatial is None:
        raise ValueError("The option --spatial FILE is needed.")
    with name_file(data.spatial, "--"):
        return _set_up(read_adata(data.spatial), setup)


def read_references(data: DataFiles, setups: Mapping[str, Mapping[str, Any]]) -> dict[str, ad.AnnData]:
    """Read the references by name, and set them up; add the protein embeddings, if there are any.

    Raises
    ------
    ValueError
        If there is none, or a file cannot be read.
    """
    from stimpute import pp

    if not data.references:
        raise ValueError("The option --reference FILE is needed.")
    references = {}
    for name, path in data.references.items():
        setup = setups[name]
        with name_file(path, "--reference-"):
            is_table = name == MARKERS and data.markers is not None
            adata = _read_markers(path, data.marker_columns) if is_table else read_adata(path)
            references[name] = _set_up(adata, setup)
        if data.proteins is not None:
            with name_file(data.proteins, "--reference-"):
                pp.add_protein_embeddings(adata, data.proteins, gene_symbols=setup.get("gene_symbols"))
    return references


def _set_up(adata: ad.AnnData, setup: Mapping[str, Any]) -> ad.AnnData:
    from stimpute import StImputeModel

    StImputeModel.setup_anndata(adata, **setup)
    return adata


def _read_markers(path: Path, columns: str) -> ad.AnnData:
    """Make a reference from a table of marker genes.

    Raises
    ------
    ValueError
        If `--marker-columns` has not two or three names, or the table lacks one of them.
    """
    from stimpute import pp

    names = split_names(columns)
    if len(names) not in (2, 3):
        raise ValueError(f"--marker-columns is {columns!r}; expected CELL_TYPE,GENE or CELL_TYPE,GENE,SCORE.")
    return pp.marker_reference(path, **dict(zip(MARKER_ARGUMENTS, names, strict=False)))
