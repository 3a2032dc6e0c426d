"""The folder that a run leaves behind: nothing in it is ever half-written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from metricreg.errors import ExperimentError

CHECKPOINT = "checkpoints/last.ckpt"
FILES = (
    "spec.json",
    "experiment.json",
    "labels.json",
    "metrics.json",
    "encoder.safetensors",
    "objective.safetensors",
    "loss.png",
    "embedding.png",
    CHECKPOINT,
)


class OutputFolder:
    """Files are written under a temporary name and renamed when they are whole.

    Args:
        path: the folder; it is made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoint = path / CHECKPOINT

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Raise `ExperimentError` unless a run may write here; changes nothing."""
        if resume and overwrite:
            raise ExperimentError("--resume continues a run, --overwrite discards it: give one of the two")
        if self.path.exists() and not self.path.is_dir():
            raise ExperimentError(f"the output '{self.path}' is a file; choose a folder with --output")
        if resume:
            if not self.checkpoint.is_file():
                raise ExperimentError(
                    f"there is no checkpoint to resume from, looked for {self.checkpoint}; "
                    "run without --resume, or with --overwrite, to start anew"
                )
        elif not overwrite and self.path.is_dir() and any(self.path.iterdir()):
            raise ExperimentError(
                f"the output folder '{self.path}' is not empty; --resume continues the run in it, --overwrite replaces "
                "its results, --output chooses another folder"
            )

    def clear(self) -> None:
        """Remove what an earlier run left. Files that no run writes stay."""
        for name in FILES:
            (self.path / name).unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file, or none."""
        with self.replacing(name) as part:
            part.write_bytes(content)

    def write_json(self, name: str, document: Any) -> None:
        """Write a document, indented, without NaN."""
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        self.write(name, f"{text}\n".encode())

    def replacing(self, name: str) -> _Replacement:
        """A context with a temporary path, which takes the place of the file when the context ends well."""
        return _Replacement(self.path / name)


class _Replacement:
    def __init__(self, target: Path) -> None:
        self.target = target
        self.part = target.with_name(f".{target.name}.part")

    def __enter__(self) -> Path:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExperimentError(f"cannot make the folder {self.target.parent}: {error}") from error
        return self.part

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            try:
                with self.part.open("r+b") as file:
                    os.fsync(file.fileno())  # a rename that outlives a power cut must not name an empty file
                self.part.replace(self.target)
            except OSError as failure:
                error = failure
        if isinstance(error, OSError):
            self.part.unlink(missing_ok=True)
            raise ExperimentError(f"cannot write {self.target}: {error}") from error
