"""Show what distinguishes a region of the tissue."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd
import panel as pn

from stimpute.explorer import _layout as layout
from stimpute.explorer._export import to_csv
from stimpute.explorer._gene_list import GeneList
from stimpute.explorer._region import N_COMPARED, WARNING, compare_region
from stimpute.explorer._values import GeneValues

N_TOP = 15  # genes that are listed
NO_REGION = "<p class='muted'>Draw a lasso or a box on a map to compare a region with the rest of its section.</p>"


class RegionCard:
    """Top genes of a region beside the rest.

    Parameters
    ----------
    values
        Source of imputed values.
    genes
        The list that shows the top genes.
    on_clear
        Called when the user clears the region.
    """

    def __init__(self, values: GeneValues, genes: GeneList, on_clear: Callable[[], None]) -> None:
        self._values = values
        self._genes = genes
        self._table = pd.DataFrame()
        self._text = layout.text(NO_REGION)
        clear = layout.button("Clear the region")
        clear.on_click(lambda _: on_clear())
        everything = layout.download("All genes, CSV", lambda: to_csv(self._table), filename="region.csv")
        self._buttons = layout.row(clear, everything, margin=(10, 0, 0, 0))
        self.view: pn.Column = layout.card(layout.title("Region"), self._text, genes, self._buttons)
        self.clear()

    def clear(self, reason: str = "") -> None:
        """Show no region; say why."""
        self._text.object = f"<p>{escape(reason)}</p>{NO_REGION}" if reason else NO_REGION
        self._genes.visible = False
        self._buttons.visible = False

    def compare(self, cells: np.ndarray, is_inside: np.ndarray) -> None:
        """Compare the cells inside with the rest; see :func:`~stimpute.explorer._region.compare_region`.

        Raises
        ------
        ValueError
            If there are too few cells on one side.
        """
        self._table = compare_region(self._values, cells, is_inside)
        n_inside = int(is_inside.sum())
        n_outside = len(is_inside) - n_inside
        self._text.object = (
            f"<p>{n_inside:,} cells inside, {n_outside:,} in the rest of the section. Mean imputed expression of "
            f"{min(N_COMPARED, n_inside)} cells inside and {min(N_COMPARED, n_outside)} outside, the largest "
            f"difference first.</p><p class='warning'>{WARNING}</p>"
        )
        self._genes.show_genes(self._table.head(N_TOP), {"region": "region", "rest": "rest"})
        self._genes.visible = True
        self._buttons.visible = True
