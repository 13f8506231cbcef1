"""Registering spatial data and reference with scvi-tools."""

from __future__ import annotations

from typing import Any

from anndata import AnnData
from mudata import MuData
from scvi.data import AnnDataManager
from scvi.model.base import BaseModelClass

from stimpute.data._expression import Expression
from stimpute.model import _setup
from stimpute.train._phases import quiet


class Registration(BaseModelClass):
    """`setup_anndata` and `setup_mudata`."""

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        spatial_key: str | None = "spatial",
        expression: Expression = "counts",
        gene_symbols: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Register the spatial data or the reference.

        Parameters
        ----------
        adata
            Cells × genes. Nothing of it is changed but what scvi-tools notes in `uns` and `obs`.
        layer
            Layer that holds the expression; `X` if None.
        batch_key
            Column of `obs` that tells sections or donors apart.
        spatial_key
            Key of `obsm` that holds the positions; a reference needs none.
        expression
            `"counts"` are normalised inside, from the genes that may be seen; `"normalized"` values are used as they
            are.
        gene_symbols
            Column of `var` that holds the names by which genes are matched; `var_names` if None.
        kwargs
            For scvi-tools, when a saved setup is repeated.

        Raises
        ------
        ValueError
            If counts are not integers, a value is not finite or negative, or gene names are not unique.
        KeyError
            If a named layer, column or array does not exist.
        """
        setup_args = cls._get_setup_method_args(
            adata=adata,
            layer=layer,
            batch_key=batch_key,
            spatial_key=spatial_key,
            expression=expression,
            gene_symbols=gene_symbols,
            cls=cls,
        )
        fields = _setup.registered_fields(adata, layer, batch_key, spatial_key, expression, gene_symbols)
        _setup.claim_identity(adata, cls._setup_adata_manager_store)
        manager = AnnDataManager(fields=fields, setup_method_args=setup_args)
        with quiet("scvi"):  # which would report that it names the columns of positions, at every slice
            manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    @classmethod
    def setup_mudata(
        cls,
        mdata: MuData,
        *,
        spatial: str = "spatial",
        reference: str = "rna",
        spatial_kwargs: dict[str, Any] | None = None,
        reference_kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Register two modalities of a MuData.

        Parameters
        ----------
        mdata
            Holds the spatial data and the reference as modalities. They need not share cells.
        spatial, reference
            Names of the modalities.
        spatial_kwargs, reference_kwargs
            Arguments of :meth:`setup_anndata` for either.

        Raises
        ------
        KeyError
            If a modality does not exist.
        """
        for name, kwargs in ((spatial, spatial_kwargs), (reference, reference_kwargs)):
            cls.setup_anndata(_setup.modality(mdata, name), **(kwargs or {}))
