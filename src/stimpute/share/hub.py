"""`scvi.hub` for this model: its folder, its metadata and a card filled from what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anndata as ad

from stimpute import model as _model
from stimpute.model._cells import UNTRAINED
from stimpute.share._card import model_card
from stimpute.share._reference import from_bytes, slim_reference, to_bytes

if TYPE_CHECKING:
    from scvi.hub import HubModel

    from stimpute.tl import CrossValidation

EMBEDDED = "embedded_reference_"


class StImputeModel(_model.StImputeModel):
    """What `scvi.hub` loads: a model together with the reference that lies inside its file.

    `scvi.hub` carries `model.pt` and little else from place to place, and passes on one dataset only.
    """

    @classmethod
    def load(
        cls,
        dir_path: str,
        adata: ad.AnnData | bool | None = None,
        reference: ad.AnnData | bool | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Self:
        """See :meth:`stimpute.StImputeModel.load`; without a reference given, the one inside the file is used."""
        model: Any = _model.StImputeModel.load(dir_path, adata, reference, *args, **kwargs)
        embedded = model.__dict__.pop(EMBEDDED, None)
        if embedded is not None and reference is None and model._reference is None:
            model._reattach(from_bytes(embedded))
        return model


def hub_model(
    model: _model.StImputeModel,
    path: str | Path,
    *,
    accuracy: CrossValidation | None = None,
    include_reference: bool = False,
    include_spatial: bool = False,
    labels: Sequence[str] = (),
    description: str = "",
    license_info: str = "unknown",
    tissues: Sequence[str] = (),
    training_data_url: str | None = None,
    references: str = "",
    overwrite: bool = False,
) -> HubModel:
    """Write a folder for `scvi.hub`, ready to be pushed or loaded where it is; nothing is sent anywhere.

    `model.pt` is a pickle, as `scvi.hub` wants it: who does not trust its author should not load it. See :func:`save`
    for files without code. A `crossfit` model holds the panel's values of up to 1000 spatial cells, without names and
    positions.

    Parameters
    ----------
    model
        A trained model.
    path
        Folder to make.
    accuracy
        What :func:`stimpute.tl.cross_validate` returned for these data; goes into the card.
    include_reference
        Whether `model.pt` carries the reference's expression, gene names and relations, so that whoever pulls the
        model can impute.
    include_spatial
        Whether to write the spatial data, all of them, as `adata.h5ad`.
    labels
        Columns of the reference's `obs` to include with it.
    description, license_info, tissues, training_data_url, references
        For the card. A `training_data_url` is checked over the network.
    overwrite
        Whether to replace a model that is there.

    Returns
    -------
    :class:`scvi.hub.HubModel`. Of scvi-tools 1.4, `push_to_huggingface_hub(..., push_anndata=False)` is the call that
    uploads `model.pt`.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is False.
    ImportError
        If huggingface_hub is not installed.
    RuntimeError
        If the model is not trained, or has no reference or spatial data to include.

    Examples
    --------
    >>> hub = stimpute.share.hub_model(model, "cortex", accuracy=result, include_reference=True)
    >>> hub.push_to_huggingface_hub("me/cortex", repo_create=True, push_anndata=False)
    >>> scvi.hub.HubModel.pull_from_huggingface_hub("me/cortex").load_model(adata=my_slice)
    """
    try:
        from scvi.hub import HubMetadata, HubModel
    except ImportError as error:
        raise ImportError("scvi.hub needs huggingface_hub: `pip install 'stimpute[hub]'`.") from error
    model._check_if_trained(warn=False, message=UNTRAINED)
    if include_spatial and model.adata is None:
        raise RuntimeError("The model was loaded without spatial data; pass `include_spatial=False`.")
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Name another folder, or pass `overwrite=True`.")

    card = model_card(
        model, accuracy, description, license_info, tissues, references, carries_reference=include_reference
    )
    _save(model, path, to_bytes(slim_reference(model, labels)) if include_reference else None, include_spatial)
    metadata = HubMetadata(
        scvi_version=model.registry_["scvi_version"],
        anndata_version=version("anndata"),
        model_cls_name=StImputeModel.__name__,
        training_data_url=training_data_url,
        model_parent_module=__name__,
    )
    hub = HubModel(str(path), metadata=metadata, model_card=card)
    hub.save(overwrite=True)
    return hub


def _save(model: Any, path: str | Path, embedded: Any, include_spatial: bool) -> None:
    """Save with the reference as one more attribute; scvi-tools writes every attribute that ends in `_`."""
    if embedded is not None:
        setattr(model, EMBEDDED, embedded)
    try:
        model.save(str(path), overwrite=True, save_anndata=include_spatial)
    finally:
        model.__dict__.pop(EMBEDDED, None)
