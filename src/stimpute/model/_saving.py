"""Save and load a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from anndata import AnnData
from scvi.model.base import BaseModelClass

from stimpute._arguments import check_arguments
from stimpute._atomic import recover
from stimpute._screen import quiet
from stimpute.data._join import References
from stimpute.model import _persist
from stimpute.model._data import ModelData
from stimpute.model._reference import read_same_reference
from stimpute.train._contexts import seeded


class SaveMixin(BaseModelClass):
    """Define how a model is saved and loaded."""

    data: ModelData
    reference: Any
    recipe: Any

    def save(
        self,
        dir_path: str | Path,
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        *args: Any,
        save_reference: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the model; the data only on request.

        The model holds the values of the shared genes in up to 1000 spatial cells, without names and positions;
        :func:`stimpute.share.contents` lists all that it holds.

        Parameters
        ----------
        dir_path
            Folder to make.
        prefix
            Prefix of the file names.
        overwrite
            Whether to replace a model that is there; it stays as it was until the new one is written.
        save_anndata, save_reference
            Whether to write the spatial data, and the reference, beside the model, where :meth:`load` finds them.
        args, kwargs
            See :meth:`scvi.model.base.BaseModelClass.save`; options of :meth:`anndata.AnnData.write_h5ad`, such as
            `compression="gzip"`, are for both data sets.

        Raises
        ------
        TypeError
            If an argument is unknown.
        ValueError
            If the folder exists and `overwrite` is False, or data to be written were changed since the model was made.

        Examples
        --------
        >>> model.save("model", save_reference=True)
        """
        check_arguments(SaveMixin.save, locals())
        if save_anndata:
            self.data.read_cells(None)  # what could not be loaded again is not written
        if save_reference:
            read_same_reference(self.data.need_reference().adata, self.data.record, self.recipe)
        of_files = _persist.write_options(kwargs)
        with _persist.saving(dir_path, prefix or "", overwrite=overwrite) as partial:
            is_plain = self.adata is not None and _persist.is_plain(self.adata)
            super().save(str(partial), prefix, True, save_anndata and is_plain, *args, **kwargs)
            if save_anndata and not is_plain:
                path = partial / f"{prefix or ''}{_persist.ADATA_FILE}"
                _persist.write_data(self.data.section(None), path, **of_files)
            if save_reference:
                _persist.write_data(self.reference, partial / f"{prefix or ''}{_persist.REFERENCE_FILE}", **of_files)

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: AnnData | bool | None = None,
        reference: AnnData | References | bool | None = None,
        accelerator: str = "auto",
        device: int | str = "auto",
        prefix: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a saved model.

        `model.pt` is a pickle, which can run code when it is read: load only what you trust.

        Parameters
        ----------
        dir_path
            Folder that :meth:`save` made.
        adata
            Spatial data with the same measured genes, in any order; need not be set up. If None, the one saved with
            the model, if any; False for none.
        reference
            The reference that the model was trained with; need not be set up. If None, the one saved with the model,
            if any; False for none. Several references by name, or the same list. Without it the model embeds cells but
            cannot impute.
        accelerator, device, prefix, kwargs
            See :meth:`scvi.model.base.BaseModelClass.load`.

        Raises
        ------
        ValueError
            If the file cannot be read, input genes are missing, or the reference is another one.

        Examples
        --------
        >>> model.save("model", save_reference=True, overwrite=True)
        >>> again = StImputeModel.load("model", adata=spatial)
        """
        check_arguments(cls.load, locals(), but=("adata", "reference"))
        recover(dir_path)
        if "backup_url" not in kwargs:  # from which scvi-tools would fetch it
            _persist.check_exists(dir_path, prefix or "")
        adata = _persist.given_or_stored(dir_path, f"{prefix or ''}{_persist.ADATA_FILE}", adata, "adata")
        reference = _persist.given_or_stored(
            dir_path, f"{prefix or ''}{_persist.REFERENCE_FILE}", reference, "reference"
        )
        with _persist.readable(dir_path), quiet("scvi"), seeded(0):
            model = super().load(str(dir_path), False, accelerator, device, prefix, **kwargs)
        return model.complete(adata, reference)  # type: ignore[attr-defined]
