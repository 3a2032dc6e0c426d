"""What every source of data has in common."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.section import Section
from metricreg.training.split import Split

PathText = Annotated[str, Field(min_length=1)]
Scale = Literal["none", "standard"]


class Source(Section):
    """The `data` section: a source says how its rows are read, and all are split alike.

    Args:
        split: which rows are held out.
    """

    split: Split = Split()

    @abstractmethod
    def load(self, folder: Path) -> Dataset:
        """Read everything into memory and check it.

        Args:
            folder: what relative paths are relative to, the folder of the experiment file.
        """

    @property
    def standardized(self) -> bool:
        """Whether the encoder first brings each feature to mean 0 and deviation 1, as found on training rows."""
        return False


def existing(folder: Path, path: str, kind: Literal["file", "folder"]) -> Path:
    """The path, taken from the experiment's folder, if there is such a file or folder."""
    full = folder / path
    if full.is_file() if kind == "file" else full.is_dir():
        return full
    found = "not a " + kind if full.exists() else "not there"
    raise ExperimentError(f"data: the {kind} '{path}' is {found}; looked at {full}")
