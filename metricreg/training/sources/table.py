"""A table with a row a sample: CSV or Parquet."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.extras import require
from metricreg.training.sources.source import PathText, Scale, Source, existing

if TYPE_CHECKING:
    import pandas as pd

EXTENSIONS = (".csv", ".parquet")


class TableSource(Source):
    """A CSV or Parquet file.

    Args:
        path: the file, relative to the experiment file; `.csv` or `.parquet`.
        label: the column that holds the class.
        features: the columns to learn from; by default every numeric column but the label.
        scale: `standard` brings each feature to mean 0 and deviation 1 (of the training rows), `none` leaves it.
    """

    name: Literal["table"] = "table"
    path: PathText
    label: str
    features: Annotated[list[str], Field(min_length=1)] | None = None
    scale: Scale = "standard"

    @property
    def standardized(self) -> bool:
        """As `scale` says."""
        return self.scale == "standard"

    def load(self, folder: Path) -> Dataset:
        """Read the table, choose its columns and check them."""
        require("pandas", "pyarrow")
        table = self._read(existing(folder, self.path, "file"))
        columns = self._columns(table)
        missing = np.flatnonzero(table[self.label].isna().to_numpy())
        if len(missing):
            raise ExperimentError(
                f"data: {len(missing)} rows of '{self.path}' have no label in '{self.label}', the first is row "
                f"{missing[0]} (counted from 0)"
            )
        labels = table[self.label]
        values = labels.to_numpy() if labels.dtype.kind in "biuf" else labels.astype(str).to_numpy(dtype=np.str_)
        features = table[columns].to_numpy(dtype=np.float64, na_value=np.nan)
        left_out = [name for name in table.columns if name not in columns and name != self.label]
        notes = [f"{len(columns)} feature columns: {_named(columns)}"]
        if left_out:
            notes.append(f"columns not used: {_named(left_out)}")
        return Dataset.of(features, values, self.path, columns=columns, notes=notes)

    def _read(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        extension = path.suffix.lower()
        if extension not in EXTENSIONS:
            raise ExperimentError(
                f"data: '{self.path}' has the extension '{path.suffix}'; a table is one of {', '.join(EXTENSIONS)}"
            )
        try:
            # low_memory guesses types block by block, so that one column could get two
            table = pd.read_csv(path, low_memory=False) if extension == ".csv" else pd.read_parquet(path)
        except (ValueError, OSError) as error:  # parser, encoding and Arrow errors are ValueErrors
            raise ExperimentError(f"data: '{self.path}' cannot be read as a table: {error}") from error
        return table.rename(columns=str)

    def _columns(self, table: pd.DataFrame) -> list[str]:
        from pandas.api.types import is_numeric_dtype

        if not table.columns.is_unique:
            twice = sorted(set(table.columns[table.columns.duplicated()]))
            raise ExperimentError(f"data: '{self.path}' has columns of the same name: {_named(twice)}")
        for name in (self.label, *(self.features or ())):
            if name not in table.columns:
                close = difflib.get_close_matches(name, list(table.columns), 1)
                hint = f"did you mean '{close[0]}'?" if close else f"it has {_named(list(table.columns))}"
                raise ExperimentError(f"data: '{self.path}' has no column '{name}'; {hint}")
        if self.features is None:
            columns = [name for name in table.columns if name != self.label and is_numeric_dtype(table[name])]
            if not columns:
                raise ExperimentError(f"data: '{self.path}' has no numeric column beside the label '{self.label}'")
            return columns
        if self.label in self.features:
            raise ExperimentError(f"data: the label '{self.label}' is also listed in features; take it out there")
        for name in self.features:
            if not is_numeric_dtype(table[name]):
                at = table[name].first_valid_index()
                example = "" if at is None else f", for example {table[name][at]!r}"
                raise ExperimentError(f"data: the column '{name}' of '{self.path}' is not numeric{example}")
        return list(self.features)


def _named(columns: list[str]) -> str:
    shown = ", ".join(columns[:12])
    return shown if len(columns) <= 12 else f"{shown} and {len(columns) - 12} more"
