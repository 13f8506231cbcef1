"""Read the rows of text tables, with the names of cells as they are written, and many cells at a time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from anndata.utils import make_index_unique

from stimpute._messages import name_list
from stimpute._reading import readable

VALUES_AT_ONCE = 2**24  # that are dense while a table is read
DAMAGED = "Copy or write it again."


@dataclass(frozen=True)
class TextTable:
    """A text table with one row per cell, of which :meth:`rows` reads few at once.

    Attributes
    ----------
    path
        The file.
    columns
        Names of the columns; repeated ones have a number.
    keys
        Columns that make the name of a cell, joined by `_`.
    unnamed
        Other columns, without a name: row numbers of pandas, or what follows a comma at the end of each row.
    n_before
        Lines up to the names of the columns, these included.
    """

    path: Path
    columns: list[str]
    keys: list[str]
    unnamed: list[str]
    n_before: int

    @classmethod
    def open(cls, path: Path, keys: Sequence[str] | None = None, *, from_r: bool = False) -> TextTable:
        """Read the names of the columns.

        Parameters
        ----------
        path
            The file.
        keys
            See the attribute; the first column if None.
        from_r
            Whether R may have written it, which leaves out the name of the column with the names of cells.
        """
        with readable(path, DAMAGED), _open(path) as file:
            n_before, header, first = _head(csv.reader(file, delimiter=_separator(path)))
        if not first:
            raise ValueError(f"{path} has no row of a cell; expected one below the names of the columns.")
        names = [name.strip() for name in header]
        if len(first) == len(names) + 1 and not first[-1]:
            names.append("")
        elif len(first) == len(names) + 1 and names[-1] and from_r:
            names.insert(0, "")
        if len(first) > len(names):
            raise ValueError(
                f"{path} has {len(names)} names of columns, but {len(first)} fields in the first row; expected as "
                f"many. {DAMAGED}"
            )
        columns = list(make_index_unique(pd.Index(names)))
        keys = columns[:1] if keys is None else list(keys)
        has_no_name = [not name or name.startswith("Unnamed: ") for name in names]
        unnamed = [name for name, is_one in zip(columns, has_no_name, strict=True) if is_one and name not in keys]
        table = cls(path, columns, keys, unnamed, n_before)
        table.check_columns(keys)
        return table

    def check_columns(self, needed: Sequence[str]) -> None:
        """Check that the table has these columns."""
        missing = [name for name in needed if name not in self.columns]
        if missing:
            raise ValueError(f"{self.path} has no column {name_list(missing)}; it has {name_list(self.columns)}.")

    def rows(self, texts: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
        """Yield many rows at a time, named by the keys; the columns `texts` are text as it is written, or missing."""
        converters: dict[int, Any] = {self.columns.index(name): str for name in texts}
        converters |= {self.columns.index(key): str.strip for key in self.keys}
        options: dict[str, Any] = {"names": self.columns, "header": None, "index_col": False, "encoding": "utf-8-sig"}
        options |= {"sep": _separator(self.path), "skiprows": self.n_before, "converters": converters}
        n_rows = max(1, VALUES_AT_ONCE // len(self.columns))
        with (
            readable(self.path, DAMAGED),
            pd.read_csv(self.path, chunksize=n_rows, low_memory=False, **options) as parts,
        ):
            for rows in parts:
                for name in texts:
                    rows[name] = rows[name].astype(object).where(rows[name] != "")
                yield self._named(rows)

    def find_types(self) -> tuple[list[str], list[str]]:
        """Return the columns that are numbers in all rows, some of them missing, and those that have text."""
        types: dict[str, set[str]] = {}
        for rows in self.rows():
            kinds = rows.dtypes.map(lambda dtype: dtype.kind).mask(rows.isna().all(), "")
            for name, kind in kinds.items():
                types.setdefault(str(name), set()).add(kind)
        numbers = [name for name, kinds in types.items() if set() < kinds - {""} <= set("iuf")]
        texts = [name for name, kinds in types.items() if "O" in kinds or ("b" in kinds and len(kinds) > 1)]
        return numbers, texts

    def check_unique(self, names: pd.Index) -> None:
        """Check that no two cells have the same name."""
        if names.has_duplicates:
            where = "its first column" if len(self.keys) == 1 else "its columns"
            raise ValueError(
                f"{self.path} has {str(names[names.duplicated()][0])!r} more than once in {where}, "
                f"{name_list(map(repr, self.keys))}; expected the name of the cell there."
            )

    def _named(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Name the rows by the keys."""
        names = rows[self.keys[0]]
        for key in self.keys[1:]:
            names = names + "_" + rows[key]
        if (names == "").any():
            raise ValueError(
                f"{self.path} has {(names == '').sum():,} rows without a name in the column "
                f"{name_list(map(repr, self.keys))}; expected the name of the cell there."
            )
        index = pd.Index(names.to_numpy(object))  # without a name, which AnnData would store as a column
        self.check_unique(index)
        rows = rows.drop(columns=[*self.keys, *self.unnamed])
        rows.index = index
        return rows


def _head(lines: Iterator[list[str]]) -> tuple[int, list[str], list[str]]:
    """Return the number of lines up to the names of the columns, these names, and the fields of the first row.

    Blank lines do not count as either, nor do comments. A line with `#` that has as many fields as the next one, or
    one less as R writes it, is no comment but the names.
    """
    filled = ((number, fields) for number, fields in enumerate(lines, start=1) if any(fields))
    n_before, header = next(filled, (0, []))
    n_next, first = next(filled, (0, []))
    while first and header[0].startswith("#") and (first[0].startswith("#") or len(first) - len(header) not in (0, 1)):
        n_before, header = n_next, first
        n_next, first = next(filled, (0, []))
    return n_before, header, first


def _open(path: Path) -> Any:
    options: dict[str, Any] = {"mode": "rt", "encoding": "utf-8-sig", "newline": ""}
    return gzip.open(path, **options) if path.suffix.lower() == ".gz" else path.open(**options)


def _separator(path: Path) -> str:
    return "\t" if path.name.lower().endswith((".tsv", ".tsv.gz")) else ","
