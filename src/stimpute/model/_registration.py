"""Register AnnData and MuData, as scvi-tools asks of a model."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import rich.pretty  # noqa: F401 - scvi-tools' view_anndata_setup uses it without importing it
from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager
from scvi.data._constants import _SCVI_UUID_KEY
from scvi.model.base import BaseModelClass

from stimpute._arguments import check_arguments
from stimpute._screen import quiet
from stimpute.data._expression import Expression, expression_arguments
from stimpute.data._join import References, join_references, joined_setup, name_references
from stimpute.model import _setup

SAVED_SETUP = "source_registry"  # argument by which scvi-tools repeats a saved setup


class SetupMixin(BaseModelClass):
    """Define how the two datasets of a model are registered."""

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        spatial_key: str | None = "spatial",
        expression: Expression = "counts",
        gene_symbols: str | None = None,
        dataset_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register the spatial data or the reference.

        Parameters
        ----------
        adata
            Cells × genes: in memory, backed by a file, lazy, or with Dask arrays. Expression that is not in memory is
            read in one pass when the model is made, then by rows; that of a reference is read into memory. Nothing is
            changed but what scvi-tools writes to `uns` and `obs`. The expression of a cell must stay what it is:
            models compare it whenever they read it. Positions and labels are those of the time of each call. What a
            file or a store holds, names, positions and labels among it, must stay what it is, too.
        layer
            Layer that holds the expression; `X` if None.
        batch_key
            Column of `obs` that tells sections or donors apart.
        spatial_key
            Key of `obsm` that holds the positions; a reference needs none.
        expression
            `"counts"` are log-normalized by totals over the input genes (of a reference: over all its genes);
            `"normalized"` values are used as they are.
        gene_symbols
            Column of `var` that holds the names by which genes are matched; `var_names` if None.
        dataset_key
            Column of `obs` that tells the datasets of a joined reference apart, see
            :func:`stimpute.pp.join_references`; one dataset if None.
        kwargs
            For scvi-tools, when a saved setup is repeated.

        Raises
        ------
        TypeError
            If there is no such argument, or the data are not an AnnData.
        ValueError
            If counts are not integers, a value is not finite or negative, or gene names are not unique.
        KeyError
            If a named layer, column or array does not exist.

        Examples
        --------
        >>> StImputeModel.setup_anndata(spatial, batch_key="domain")
        >>> StImputeModel.setup_anndata(reference)
        """
        setup_args = {
            "layer": layer,
            "batch_key": batch_key,
            "spatial_key": spatial_key,
            "expression": expression,
            "gene_symbols": gene_symbols,
            "dataset_key": dataset_key,
        }
        unknown = sorted(set(kwargs) - {SAVED_SETUP})
        if unknown and SAVED_SETUP not in kwargs:
            raise TypeError(f"`setup_anndata` has no argument {unknown}; it has {sorted(setup_args)}.")
        fields, known_cells = _setup.registered_fields(adata, **setup_args)  # type: ignore[arg-type]
        _setup.assign_own_identity(adata, cls._setup_adata_manager_store)
        method_args = cls._get_setup_method_args(adata=adata, cls=cls, **setup_args)
        manager = _setup.DataManager(fields=fields, setup_method_args=method_args)
        manager.known_cells = known_cells
        with quiet("scvi"), warnings.catch_warnings():  # it reports that it names the columns of positions
            warnings.filterwarnings("ignore", "Training will be faster")  # said of CSC, which is converted when read
            manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def _join(cls, references: References) -> tuple[AnnData, dict[str, dict[str, Any]]]:
        """Join references that were set up, and set up the result; return it with their setups."""
        setups = {}
        named = name_references(references)
        arguments = {f"reference[{name!r}]": adata for name, adata in named.items()}
        if not isinstance(references, Mapping):
            arguments = {f"reference[{number}]": adata for number, adata in enumerate(named.values())}
        _setup.check_set_up(cls._setup_adata_manager_store, arguments)
        for name, adata in named.items():
            manager = cls._get_most_recent_anndata_manager(adata, required=True)
            _setup.check_as_set_up(adata, manager)
            setups[name] = expression_arguments(manager.registry["setup_args"])
        joined = join_references(references, setups)
        cls.setup_anndata(joined, **joined_setup(setups))
        return joined, setups

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        spatial: str = "spatial",
        reference: str | Sequence[str] = "rna",
        spatial_setup: dict[str, Any] | None = None,
        reference_setup: dict[str, Any] | None = None,
    ) -> None:
        """Register the modalities of a MuData.

        Parameters
        ----------
        mdata
            Holds the spatial data and the reference as modalities. They need not share cells.
        spatial, reference
            Names of the modalities; several references are a list.
        spatial_setup, reference_setup
            Arguments of :meth:`setup_anndata` for each.

        Raises
        ------
        KeyError
            If a modality does not exist.
        """
        check_arguments(cls.setup_mudata, locals())
        cls.setup_anndata(_setup.modality(mdata, spatial), **(spatial_setup or {}))
        for name in [reference] if isinstance(reference, str) else reference:
            cls.setup_anndata(_setup.modality(mdata, name), **(reference_setup or {}))

    @classmethod
    def from_mudata(
        cls, mdata: MuData, spatial: str = "spatial", reference: str | Sequence[str] = "rna", **model_kwargs: Any
    ) -> Self:
        """Make a model on the modalities that :meth:`setup_mudata` registered.

        Parameters
        ----------
        mdata, spatial, reference
            See :meth:`setup_mudata`.
        model_kwargs
            Arguments of the model.
        """
        check_arguments(cls.from_mudata, locals())
        chosen: AnnData | dict[str, AnnData]
        if isinstance(reference, str):
            chosen = _setup.modality(mdata, reference)
        else:
            chosen = {name: _setup.modality(mdata, name) for name in reference}
        return cls(_setup.modality(mdata, spatial), chosen, **model_kwargs)

    def get_anndata_manager(self, adata: AnnData, required: bool = False) -> AnnDataManager | None:
        """Return how data were set up, see :class:`scvi.model.base.BaseModelClass`.

        The model's own data have one also after they were loaded with the model or released. The reference has one as
        long as it is set up.
        """
        found = super().get_anndata_manager(adata)
        if found is None and adata is not None and adata is self.adata:
            found = self.adata_manager
        if found is None and adata is not None and self.data is not None and adata is self.reference:
            found = self._get_most_recent_anndata_manager(adata)
        return found if found is not None or not required else super().get_anndata_manager(adata, required=True)

    @classmethod
    def registered_setup(cls, adata: AnnData) -> dict[str, Any]:
        """Return the arguments with which :meth:`setup_anndata` registered an AnnData; none if it did not."""
        if not _setup.is_registered(adata, cls._setup_adata_manager_store):
            return {}
        return dict(cls._setup_adata_manager_store[adata.uns[_SCVI_UUID_KEY]].registry["setup_args"])

    @classmethod
    def release(cls, *datasets: AnnData) -> None:
        """Make scvi-tools forget AnnData that were set up, so that their memory can be freed.

        Models that were made with them keep them, and go on working.

        Parameters
        ----------
        datasets
            AnnData that :meth:`setup_anndata` registered; others are ignored.
        """
        for adata in datasets:
            if _setup.is_registered(adata, cls._setup_adata_manager_store):
                uuid = adata.uns[_SCVI_UUID_KEY]
                for managers in (cls._setup_adata_manager_store, *cls._per_instance_manager_store.values()):
                    managers.pop(uuid, None)

    @classmethod
    @contextlib.contextmanager
    def registered_as_before(cls, *datasets: AnnData) -> Iterator[None]:
        """Restore afterwards how the user set up AnnData, and release those that the user did not set up.

        Parameters
        ----------
        datasets
            AnnData that are set up in the block. Models that are made there keep that setup.
        """
        managers = cls._setup_adata_manager_store
        before = {}
        for number, adata in enumerate(datasets):
            if _setup.is_registered(adata, managers):
                before[number] = managers[adata.uns[_SCVI_UUID_KEY]]
        try:
            yield
        finally:
            for number, adata in enumerate(datasets):
                if number in before:
                    managers[adata.uns[_SCVI_UUID_KEY]] = before[number]
                else:
                    cls.release(adata)
