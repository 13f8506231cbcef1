"""Saving and loading: genes by name, the reference by fingerprint."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import anndata
from anndata import AnnData

from stimpute.model import _setup
from stimpute.model._datasets import TwoDatasets
from stimpute.train._phases import seeded

ADATA_FILE = "adata.h5ad"
REFERENCE_FILE = "reference.h5ad"


class PersistenceMixin(TwoDatasets):
    """What scvi-tools' `save` and `load` leave open: the second dataset, and genes in another order."""

    fingerprint_: str
    reference_shape_: tuple[int, int]
    reference_setup_: dict[str, Any]

    def save(self, dir_path: str, *args: Any, save_reference: bool = False, **kwargs: Any) -> None:
        """Save the model; the reference's expression only on request.

        A `crossfit` model holds the panel's values of up to 1000 spatial cells, without names and positions.

        Parameters
        ----------
        dir_path
            Directory to make.
        args, kwargs
            See :meth:`scvi.model.base.BaseModelClass.save`: `prefix`, `overwrite`, `save_anndata`, ...
        save_reference
            Whether to write the reference beside the model, where :meth:`load` finds it.

        Raises
        ------
        ValueError
            If the directory exists and `overwrite` is False.
        """
        super().save(str(dir_path), *args, **kwargs)  # type: ignore[misc]
        if save_reference:
            prefix = kwargs.get("prefix") or (args[0] if args else None) or ""
            self._reference_data().write_h5ad(Path(dir_path) / f"{prefix}{REFERENCE_FILE}")

    @classmethod
    def load(
        cls,
        dir_path: str,
        adata: AnnData | bool | None = None,
        reference: AnnData | bool | None = None,
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
            Directory that :meth:`save` made.
        adata
            Spatial data of the same panel, matched by name, in any order; need not be set up. If None, the one saved
            with the model, if any; False for none.
        reference
            The reference that the model was trained with; need not be set up. If None, the one saved with the model,
            if any; False for none. Without it the model embeds cells but cannot impute.
        accelerator, device, prefix, kwargs
            See :meth:`scvi.model.base.BaseModelClass.load`.

        Raises
        ------
        ValueError
            If the file cannot be read, genes of the panel are missing, or the reference is another one.
        """
        try:
            with seeded(0):  # networks are made before their weights are read
                model = super().load(str(dir_path), False, accelerator, device, prefix, **kwargs)  # type: ignore[misc]
        except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
            raise ValueError(
                f"The model in {dir_path} cannot be read: {error}. The file is truncated, or not one that "
                "`model.save()` wrote. Copy it again, or train and save anew."
            ) from error
        adata = _given_or_stored(dir_path, prefix, ADATA_FILE, adata)
        if adata is not None:
            model._validate_anndata(adata)
        reference = _given_or_stored(dir_path, prefix, REFERENCE_FILE, reference)
        if reference is not None:
            model._reattach(reference)
        return model

    def _reattach(self, reference: AnnData) -> None:
        """Attach the reference that the model was trained with, and no other.

        Raises
        ------
        ValueError
            If its fingerprint is another one.
        """
        if not _setup.registered_in(reference, self._setup_adata_manager_store):
            self.setup_anndata(reference, **self.reference_setup_)
        self._attach(reference)
        attached = self._need_reference()
        found, bank = attached.fingerprint(), attached.bank
        if self.is_trained_ and found != self.fingerprint_:
            self._reference = None
            cells, genes = self.reference_shape_
            raise ValueError(
                f"This is not the reference that the model was trained with: found {bank.n_cells} cells × "
                f"{bank.n_genes} genes with fingerprint {found}, expected {cells} × {genes} with {self.fingerprint_}. "
                "Pass the same cells, genes, layer and gene relations, set up in the same way, or train a new model."
            )


def _given_or_stored(
    dir_path: str | Path, prefix: str | None, name: str, given: AnnData | bool | None
) -> AnnData | None:
    if isinstance(given, AnnData):
        return given
    path = Path(dir_path) / f"{prefix or ''}{name}"
    return anndata.read_h5ad(path) if given is None and path.exists() else None
