"""The folder that a run leaves behind: nothing in it is ever half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metricreg.errors import ExperimentError

CHECKPOINT = "checkpoints/last.ckpt"
LABELS = "labels.json"
FILES = (
    LABELS,
    "experiment.json",
    "spec.json",
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
        try:
            self._check(resume, overwrite)
        except OSError as error:
            raise ExperimentError(f"cannot look into the output folder '{self.path}': {error}") from error

    def _check(self, resume: bool, overwrite: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise ExperimentError(f"the output '{self.path}' is a file; choose a folder with --output")
        if resume:
            if not self.checkpoint.is_file():
                raise ExperimentError(
                    f"there is no checkpoint to resume from, looked for {self.checkpoint}; "
                    "run without --resume, or with --overwrite, to start anew"
                )
        elif overwrite:
            present = [name for name in FILES if (self.path / name).exists()]
            if present and not self._is_of_a_run():
                raise ExperimentError(
                    f"the output folder '{self.path}' has {', '.join(present)}, but not from a run of metricreg; "
                    "--overwrite replaces nothing else. Move them away, or choose another folder with --output"
                )
        elif self.path.is_dir() and any(self.path.iterdir()):
            raise ExperimentError(
                f"the output folder '{self.path}' is not empty; --resume continues the run in it, --overwrite replaces "
                "its results, --output chooses another folder"
            )

    def _is_of_a_run(self) -> bool:
        """Whether its files are results: a run begins with a file that no one else writes."""
        try:
            first = json.loads((self.path / LABELS).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(first, dict) and first.keys() == {"classes", "training_classes"}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs out while this one writes; a kill releases it. Where the system cannot, it does nothing."""
        _make(self.path)
        try:
            import fcntl
        except ImportError:  # Windows
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems cannot lock
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise ExperimentError(
                        f"another run is writing to '{self.path}'; choose another --output"
                    ) from error
            yield
        finally:
            os.close(handle)

    def clear(self) -> None:
        """Remove what an earlier run left. Files that no run writes stay."""
        try:
            for name in reversed(FILES):  # what says that it is of a run goes last
                (self.path / name).unlink(missing_ok=True)
        except OSError as error:
            raise ExperimentError(f"cannot remove the results in '{self.path}': {error}") from error

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
        _make(self.target.parent)
        return self.part

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            try:
                with self.part.open("r+b") as file:
                    os.fsync(file.fileno())  # a rename that outlives a power cut must not name an empty file
                self.part.replace(self.target)
            except OSError as failure:
                error = failure
        if error is not None:
            with suppress(OSError):
                self.part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ExperimentError(f"cannot write {self.target}: {error}") from error


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"cannot make the folder {folder}: {error}") from error
