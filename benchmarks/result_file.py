"""ResultFile: rows in a CSV file, which is written anew whenever a row is added."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


class ResultFile:
    """The rows of one suite on one machine.

    Args:
        file: where they are, and are kept.
        keys: the columns that say what was measured.
    """

    def __init__(self, file: Path, keys: tuple[str, ...]) -> None:
        self.file, self.keys = file, keys
        self.rows: dict[tuple[str, ...], dict[str, str]] = {}
        if file.is_file():
            with file.open(newline="", encoding="utf-8") as stream:
                for row in csv.DictReader(stream):
                    self.rows[self.key(row)] = row

    def key(self, row: Mapping[str, Any]) -> tuple[str, ...]:
        """What a row is known by."""
        return tuple(_text(row[key]) for key in self.keys)

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a row, in place of one of the same key."""
        self.rows[self.key(row)] = {key: _text(value) for key, value in row.items()}
        columns = list(dict.fromkeys(key for kept in self.rows.values() for key in kept))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows.values())
        os.replace(partial, self.file)


def _text(value: Any) -> str:
    """A value as the file has it: four digits of a number, nothing for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
