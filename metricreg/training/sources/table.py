"""A table with a row a sample: CSV or Parquet."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metricreg.errors import ExperimentError, cut
from metricreg.training.dataset import Dataset, listed
from metricreg.training.extras import require
from metricreg.training.sources.source import PathText, Scale, Source, existing

if TYPE_CHECKING:
    import pandas as pd

EXTENSIONS = (".csv", ".parquet")
NAMELESS = "Unnamed: "
"""How pandas begins the name of a CSV column that has none."""


class TableSource(Source):
    """A CSV or Parquet file.

    Args:
        path: the file, relative to the experiment file; `.csv` or `.parquet`.
        label: the column that holds the class.
        features: the columns to learn from; by default every numeric column that has a name, but the label.
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
        labels = self._labels(table[self.label])
        features = table[columns].to_numpy(dtype=np.float64, na_value=np.nan)
        left_out = [name for name in table.columns if name not in columns and name != self.label]
        notes = [f"{len(columns)} feature columns: {listed(columns)}"]
        if left_out:
            notes.append(f"columns not used: {listed(left_out)}")
        return Dataset.of(features, labels, self.path, columns=columns, notes=notes)

    def _read(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        extension = path.suffix.lower()
        if extension not in EXTENSIONS:
            raise ExperimentError(
                f"data: '{self.path}' has the extension '{path.suffix}'; a table is one of {', '.join(EXTENSIONS)}"
            )
        try:
            table = self._read_csv(path) if extension == ".csv" else pd.read_parquet(path).rename(columns=str)
        except (ValueError, OSError) as error:  # parser, encoding and Arrow errors are ValueErrors
            if isinstance(error, ExperimentError):
                raise
            raise ExperimentError(f"data: '{self.path}' cannot be read as a table: {str(error).strip()}") from error
        self._check_unique(list(table.columns))
        return table

    def _read_csv(self, path: Path) -> pd.DataFrame:
        import pandas as pd

        # pandas gives a second column of a name a new one; here that is an error, as it is in Parquet
        self._check_unique(pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0].tolist())
        # low_memory guesses types block by block, so that one column could get two
        table = pd.read_csv(path, low_memory=False)
        if len(table) and not isinstance(table.index, pd.RangeIndex):  # pandas takes the first values for row names
            raise ExperimentError(
                f"data: the rows of '{self.path}' have more values than its header has names; "
                "separate values by commas, write decimals with a point, and end no row with a comma"
            )
        return table

    def _check_unique(self, names: list[str]) -> None:
        twice = sorted({name for name in names if name and names.count(name) > 1})
        if twice:
            raise ExperimentError(f"data: '{self.path}' has columns of the same name: {listed(twice)}")

    def _labels(self, column: pd.Series[Any]) -> NDArray[np.generic]:
        from pandas.api.types import is_scalar

        missing = np.flatnonzero(column.isna().to_numpy())
        if len(missing):
            raise ExperimentError(
                f"data: {len(missing)} rows of '{self.path}' have no label in '{self.label}', the first is row "
                f"{missing[0]} (counted from 0); in a CSV file NA, None and null count as missing too"
            )
        if column.dtype.kind in "biuf":
            return np.asarray(column.to_numpy())
        strange = next((value for value in column if not is_scalar(value)), None)
        if strange is not None:
            raise ExperimentError(
                f"data: the label '{self.label}' of '{self.path}' holds {type(strange).__name__}, for example "
                f"{_brief(strange)}; classes are integers or strings"
            )
        return np.asarray(column.astype(str).to_numpy(dtype=np.str_))

    def _columns(self, table: pd.DataFrame) -> list[str]:
        from pandas.api.types import is_numeric_dtype

        for name in (self.label, *(self.features or ())):
            if name not in table.columns:
                close = difflib.get_close_matches(name, list(table.columns), 1)
                hint = f"did you mean '{close[0]}'?" if close else f"it has {listed(list(table.columns))}"
                if len(table.columns) == 1 and not close:
                    hint += "; are the values separated by commas?"
                raise ExperimentError(f"data: '{self.path}' has no column '{name}'; {hint}")
        if self.features is None:
            # a column without a name is as a rule the row number, which can give the label away
            named = [name for name in table.columns if name != self.label and not name.startswith(NAMELESS)]
            columns = [name for name in named if is_numeric_dtype(table[name])]
            if not columns:
                raise ExperimentError(f"data: '{self.path}' has no numeric column beside the label '{self.label}'")
            return columns
        if self.label in self.features:
            raise ExperimentError(f"data: the label '{self.label}' is also listed in features; take it out there")
        twice = sorted({name for name in self.features if self.features.count(name) > 1})
        if twice:
            raise ExperimentError(f"data: features lists {listed(twice)} more than once")
        for name in self.features:
            if not is_numeric_dtype(table[name]):
                at = table[name].first_valid_index()
                example = "" if at is None else f", for example {_brief(table[name][at])}"
                raise ExperimentError(f"data: the column '{name}' of '{self.path}' is not numeric{example}")
        return list(self.features)


def _brief(value: object) -> str:
    return cut(" ".join(repr(value).split()))
