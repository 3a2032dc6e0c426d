"""Labelled rows in memory, checked when they are made, so that nothing after this has to doubt them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metricreg.errors import ExperimentError


@dataclass(frozen=True)
class Dataset:
    """Features and labels of N rows; make one with `Dataset.of`, which checks.

    Args:
        features: float32 `[N, D]`, or images `[N, channels, height, width]`.
        labels: int64 `[N]`, each an index into `classes`.
        classes: the labels as the user wrote them, sorted.
        columns: names of the features where they have any.
        notes: what the user should know about how the data was read.
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: list[str | int]
    columns: list[str] | None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        features: NDArray[np.generic],
        labels: NDArray[np.generic] | Sequence[object],
        source: str,
        *,
        columns: list[str] | None = None,
        notes: Sequence[str] = (),
    ) -> Dataset:
        """Check what was read and number its classes.

        Args:
            features: numbers, `[N, D]`, `[N, height, width]` or `[N, channels, height, width]`.
            labels: strings or integers, `[N]`.
            source: where they came from, for messages.
            columns: names of the features.
            notes: passed on.
        """
        if features.dtype.kind not in "biuf":
            raise ExperimentError(f"{source}: the features are of type {features.dtype}; numbers are needed")
        if features.ndim not in (2, 3, 4) or 0 in features.shape:
            raise ExperimentError(
                f"{source}: the features have shape {list(features.shape)}; needed is [rows, columns], "
                "[rows, height, width] or [rows, channels, height, width], none of them 0"
            )
        if len(labels) != len(features):
            raise ExperimentError(
                f"{source}: {len(features)} rows of features but {len(labels)} labels; each row needs one label"
            )
        with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, which the next check reports
            rows = np.ascontiguousarray(features, dtype=np.float32)
        _check_finite(rows, source, columns)
        numbers, classes = _numbered(np.asarray(labels), source)
        sizes = np.bincount(numbers)
        if len(classes) < 2:
            raise ExperimentError(f"{source}: all rows have the label {classes[0]!r}; two classes or more are needed")
        if sizes.max() < 2:
            raise ExperimentError(f"{source}: no class has two rows, so there is no pair to learn from")
        if rows.ndim == 3:
            rows = rows[:, None]
        return cls(rows, numbers, classes, columns, list(notes))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row: `(D,)` or `(channels, height, width)`."""
        return self.features.shape[1:]

    def sha256(self) -> str:
        """Digest of features, labels and class names: the same data, wherever it was read from."""
        digest = hashlib.sha256(repr((self.features.shape, self.classes)).encode())
        digest.update(np.ascontiguousarray(self.features).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def _check_finite(rows: NDArray[np.float32], source: str, columns: list[str] | None) -> None:
    wrong = ~np.isfinite(rows.reshape(len(rows), -1))
    bad = np.flatnonzero(wrong.any(axis=1))
    if len(bad):
        where = "" if columns is None else f", in {listed([columns[at] for at in np.flatnonzero(wrong.any(axis=0))])}"
        raise ExperimentError(
            f"{source}: {len(bad)} of {len(rows)} rows have features that are NaN, missing or infinite in float32, "
            f"the first is row {bad[0]} (counted from 0){where}; remove them or fill them in"
        )


def listed(names: Sequence[str]) -> str:
    """The first twelve of some names, and how many more there are."""
    shown = ", ".join(names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


def _numbered(labels: NDArray[np.generic], source: str) -> tuple[NDArray[np.int64], list[str | int]]:
    """Labels as 0..C-1, and the label that each number stands for."""
    if labels.ndim != 1:
        raise ExperimentError(f"{source}: the labels have shape {list(labels.shape)}; needed is one a row, [rows]")
    if labels.dtype.kind == "f":
        if not np.isfinite(labels).all():
            raise ExperimentError(f"{source}: {int((~np.isfinite(labels)).sum())} labels are missing, NaN or infinite")
        labels = labels.astype(np.float64)
        if (labels != np.floor(labels)).any():
            raise ExperimentError(f"{source}: the labels are numbers with fractions; classes are integers or strings")
        if np.abs(labels).max(initial=0) >= 2**53:
            raise ExperimentError(f"{source}: the labels are too large for whole floats; give integers or strings")
        labels = labels.astype(np.int64)
    elif labels.dtype.kind == "S":
        try:
            labels = np.char.decode(labels.astype(np.bytes_), "utf-8")
        except UnicodeDecodeError as error:  # replacing what is no text could make two classes one
            raise ExperimentError(f"{source}: the labels are bytes that are not UTF-8 text: {error}") from error
    elif labels.dtype.kind not in "biuU":
        raise ExperimentError(f"{source}: the labels are of type {labels.dtype}; classes are integers or strings")
    classes, numbers = np.unique(labels, return_inverse=True)
    named = [str(c) if labels.dtype.kind in "Ub" else int(c) for c in classes]
    return numbers.astype(np.int64).reshape(-1), named
