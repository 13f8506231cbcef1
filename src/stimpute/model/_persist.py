"""Save a model in one step, find data that were saved beside it, and complete a model that was read."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from anndata import AnnData
from scvi.model.base import BaseModelClass

from stimpute import _reading
from stimpute._atomic import filling
from stimpute._hdf5 import read_h5ad
from stimpute._messages import did_you_mean
from stimpute.data._annotations import has_lazy_annotations, in_memory, layers_by_name, with_annotations
from stimpute.data._arrays import from_arrays
from stimpute.data._genes import check_genes_present
from stimpute.data._join import References, is_several
from stimpute.data._rows import by_rows, is_lazy
from stimpute.model._reference import join_same_references, read_same_reference

if TYPE_CHECKING:
    from stimpute.model._model import StImputeModel

MODEL_FILE = "model.pt"
ADATA_FILE = "adata.h5ad"
REFERENCE_FILE = "reference.h5ad"
SHARED_FILE = "stimpute.json"  # of a model that `stimpute.share` made
ZIP = b"PK"  # beginning of an archive, which every file of PyTorch is unless it is asked for another format


@contextlib.contextmanager
def saving(dir_path: str | Path, prefix: str, *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder to save a model to; move its files to the model's folder if nothing failed.

    Data of an older model of the same prefix are removed, since they would be loaded with the new one.

    Raises
    ------
    ValueError
        If the folder exists and `overwrite` is False or it holds a shared model, or the prefix names another folder.
    OSError
        If the files cannot be written.
    """
    if Path(prefix).name != prefix:
        raise ValueError(f"`prefix` is {prefix!r}; expected the beginning of a file name, without a folder.")
    if Path(dir_path).exists() and not overwrite:
        raise ValueError(f"{dir_path} already exists. Name another folder, or pass `overwrite=True`.")
    if (Path(dir_path) / SHARED_FILE).exists():
        raise ValueError(f"{dir_path} holds a model that was made for others by `share`. Name another folder.")
    with filling(dir_path, stale=(f"{prefix}{ADATA_FILE}", f"{prefix}{REFERENCE_FILE}")) as partial:
        yield partial
        _check_whole(partial / f"{prefix}{MODEL_FILE}")


def _check_whole(path: Path) -> None:
    """Raise OSError for half an archive: PyTorch 2.6 does not tell that a disk was full if the file is small."""
    with path.open("rb") as file:
        start = file.read(len(ZIP))
    if ZIP.startswith(start) and not is_zipfile(path):
        raise OSError(f"{path.name} cannot be written; the disk may be full. Free some space, and save again.")


def check_exists(dir_path: str | Path, prefix: str) -> None:
    """Check that a folder holds a model of a prefix.

    Raises
    ------
    FileNotFoundError
        If it does not; the message lists the models that are there.
    """
    if not (Path(dir_path) / f"{prefix}{MODEL_FILE}").is_file():
        found = sorted(path.name for path in Path(dir_path).glob(f"*{MODEL_FILE}"))
        raise FileNotFoundError(
            f"{Path(dir_path) / f'{prefix}{MODEL_FILE}'} does not exist; models in this folder: {found}. Pass the "
            "folder that `model.save()` made, and its `prefix=`, if any."
        )


@contextlib.contextmanager
def readable(dir_path: str | Path) -> Iterator[None]:
    """Turn the errors of a damaged model file into one that says so.

    Raises
    ------
    ValueError
        If the model cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, EOFError, RuntimeError, UnpicklingError, AttributeError, KeyError) as error:
        raise ValueError(
            f"The model in {dir_path} cannot be read: {error}. The file is truncated, or not one that `model.save()` "
            "wrote. Copy it again, or train and save anew."
        ) from error


def write_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return those of the options of `save` that are of :meth:`anndata.AnnData.write_h5ad`.

    Raises
    ------
    TypeError
        If an option is neither of that nor of `save`; the message names those that are spelled most alike.
    """
    of_save = set(inspect.signature(BaseModelClass.save).parameters) - {"self", "anndata_write_kwargs"}
    of_files = set(inspect.signature(AnnData.write_h5ad).parameters) - {"self", "filename"}
    for name in options:
        if name not in of_save | of_files:
            hint = did_you_mean(name, of_save | of_files | {"save_reference"})
            raise TypeError(f"`save` has no argument {name!r}.{hint}")
    return {name: value for name, value in options.items() if name in of_files}


def is_plain(adata: AnnData) -> bool:
    """Tell whether AnnData can write an AnnData as it is, and leaves it as it was."""
    return not adata.isbacked and not has_lazy_annotations(adata)


def write_data(adata: AnnData, path: Path, **options: Any) -> None:
    """Write an AnnData that may be backed or lazy, block by block; options are those of `AnnData.write_h5ad`.

    Backed data would point to the new file, which is moved, if AnnData wrote them.
    """
    if not is_plain(adata):
        layers, raw = layers_by_name(adata), adata.raw
        adata = with_annotations(adata, _by_rows(adata.X))
        adata.layers.update(layers)
        if raw is not None:
            adata.raw = AnnData(_by_rows(raw.X), var=in_memory(raw.var), varm=in_memory(raw.varm))
    adata.write_h5ad(path, **options)


def _by_rows(matrix: Any) -> Any:
    return by_rows(matrix) if is_lazy(matrix) else matrix


def given_or_stored(
    dir_path: str | Path, file_name: str, given: AnnData | References | bool | None, argument: str
) -> AnnData | References | None:
    """Return data that were given or, for None, that were saved with the model; False stands for no data.

    Raises
    ------
    TypeError
        If something else was given.
    """
    if isinstance(given, AnnData) or (argument == "reference" and is_several(given)):
        return given
    if given is False:
        return None
    if given is not None:
        raise TypeError(
            f"`{argument}` is a {type(given).__name__}; expected an AnnData, None for the one saved with the model, or "
            "False for none. Read a file with `anndata.read_h5ad(path)`."
        )
    path = Path(dir_path) / file_name
    if not path.exists():
        return None
    with _reading.readable(path, f"Copy the folder again, or pass `{argument}=`."):
        return read_h5ad(path)


def complete(self: StImputeModel, adata: AnnData | None, reference: AnnData | References | None) -> StImputeModel:
    """Restore what was learned, and attach data to a model that was just read; used by the loaders.

    Parameters
    ----------
    adata, reference
        See :meth:`load`.

    Returns
    -------
    The model itself.
    """
    if self.fit_arrays_ is not None:
        self._fit = from_arrays(self.recipe.fit_type, self.fit_arrays_, self.sizes.dimensions())
    if adata is not None:
        check_genes_present(self.input_genes, self.data.measured_genes(adata))
        with self.registered_as_before(adata):
            self.setup_anndata(adata, **self.spatial_setup)
            self._register_manager_for_instance(self._get_most_recent_anndata_manager(adata, required=True))
            self.adata = adata
    if is_several(reference):
        reference = join_same_references(reference, self.data.record)
    if reference is not None:
        self.data.attached = read_same_reference(reference, self.data.record, self.recipe)
        self._cached_predictor = None
    return self
