"""Write a folder for `scvi.hub`, with metadata and a model card, and load from it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anndata as ad

from stimpute._arguments import check_arguments
from stimpute._atomic import filling
from stimpute._messages import missing_extra
from stimpute.model import StImputeModel
from stimpute.model._persist import ADATA_FILE, REFERENCE_FILE
from stimpute.share._card import model_card
from stimpute.share._minimal_reference import from_bytes, minimal_reference, to_bytes

if TYPE_CHECKING:
    from scvi.hub import HubModel

    from stimpute.tl import CrossValidation

EMBEDDED = "embedded_reference_"  # scvi-tools saves every attribute whose name ends in `_`


class HubStImputeModel(StImputeModel):
    """Load a model together with the reference inside its file, for `scvi.hub`.

    `scvi.hub` transfers `model.pt` and little else, and passes on one dataset only.
    """

    @classmethod
    def load(
        cls,
        dir_path: str | Path,
        adata: ad.AnnData | bool | None = None,
        reference: ad.AnnData | bool | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Self:
        """See :meth:`stimpute.StImputeModel.load`; without a reference given, the one inside the file is used."""
        model: Any = StImputeModel.load(dir_path, adata, reference, *args, **kwargs)
        embedded = model.__dict__.pop(EMBEDDED, None)
        if embedded is not None and reference is None and model.reference is None:
            model.complete(None, from_bytes(embedded))
        return model


def to_hub(
    model: StImputeModel,
    path: str | Path,
    *,
    accuracy: CrossValidation | None = None,
    save_reference: bool = False,
    save_anndata: bool = False,
    labels: Sequence[str] = (),
    description: str = "",
    license_info: str = "unknown",
    tissues: Sequence[str] = (),
    training_data_url: str | None = None,
    references: str = "",
    overwrite: bool = False,
) -> HubModel:
    """Write a folder for `scvi.hub`, ready to be uploaded or loaded; nothing is sent anywhere.

    `model.pt` is a pickle, as `scvi.hub` needs it: load it only if you trust its author. See :func:`save` for files
    without code, and :func:`contents` for what a model holds.

    Parameters
    ----------
    model
        A trained model.
    path
        Folder to make.
    accuracy
        Result of :func:`stimpute.tl.cross_validate` on these data, for the card.
    save_reference
        Whether `model.pt` holds the reference's expression, gene names and relations, so that whoever downloads the
        model can impute.
    save_anndata
        Whether to write all spatial data as `adata.h5ad`.
    labels
        Columns of the reference's `obs` to include with it.
    description, license_info, tissues, references
        For the card; `references` are publications, as text.
    training_data_url
        For the card. It is checked over the network.
    overwrite
        Whether to replace a model that is there.

    Returns
    -------
    :class:`scvi.hub.HubModel`. In scvi-tools 1.4, `push_to_huggingface_hub(..., push_anndata=False)` is the call that
    uploads `model.pt`.

    Raises
    ------
    FileExistsError
        If the folder exists and `overwrite` is False.
    ImportError
        If huggingface_hub is not installed.
    RuntimeError
        If the model is not trained, or has no reference or spatial data to include.
    ValueError
        If the reference to include was changed since the model was made.

    Examples
    --------
    >>> hub = stimpute.share.to_hub(model, "cortex", accuracy=result, save_reference=True)
    >>> hub.push_to_huggingface_hub("me/cortex", repo_create=True, push_anndata=False)
    >>> scvi.hub.HubModel.pull_from_huggingface_hub("me/cortex").load_model(adata=section)
    """
    check_arguments(to_hub, locals())
    try:
        import huggingface_hub  # noqa: F401 - scvi-tools 1.5 imports it later
        from scvi.hub import HubMetadata, HubModel
    except ImportError as error:
        raise missing_extra("`scvi.hub` needs huggingface_hub", "hub") from error
    model.predictor(need_reference=False)  # raises if the model is not trained
    if save_anndata and model.adata is None:
        raise RuntimeError("The model was loaded without spatial data; pass `save_anndata=False`.")
    if Path(path).exists() and not overwrite:
        raise FileExistsError(f"{path} exists. Name another folder, or pass `overwrite=True`.")

    card = model_card(model, accuracy, description, license_info, tissues, references, has_reference=save_reference)
    reference = minimal_reference(model, labels) if save_reference else None
    metadata = HubMetadata(
        scvi_version=model.registry_["scvi_version"],
        anndata_version=version("anndata"),
        model_cls_name=HubStImputeModel.__name__,
        training_data_url=training_data_url,
        model_parent_module=__name__,
    )
    with filling(path, stale=(ADATA_FILE, REFERENCE_FILE)) as partial:
        embedded = None if reference is None else to_bytes(reference)
        _save_with(model, partial, embedded, save_anndata)
        HubModel(str(partial), metadata=metadata, model_card=card).save(overwrite=True)
    return HubModel(str(path), metadata=metadata, model_card=card)


def _save_with(model: Any, path: str | Path, embedded: Any, save_anndata: bool) -> None:
    """Save the model with the reference as one more attribute."""
    if embedded is not None:
        setattr(model, EMBEDDED, embedded)
    try:
        model.save(path, overwrite=True, save_anndata=save_anndata)
    finally:
        model.__dict__.pop(EMBEDDED, None)
