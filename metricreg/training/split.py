"""Which rows are learned from, and which are held out."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from metricreg.errors import ExperimentError
from metricreg.training.dataset import Dataset
from metricreg.training.section import Section, Seed

Rows = NDArray[np.int64]


class Split(Section):
    """How rows are divided into training and held-out rows.

    Args:
        by: `sample` holds out a share of every class; `class` holds out whole classes, unseen in training.
        test_fraction: share of the rows of each class, or of the classes, that is held out; in (0, 1).
        seed: of the division alone; the same seed divides the same data alike whatever else changes.
    """

    by: Literal["sample", "class"] = "sample"
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: Seed = 0

    def divide(self, dataset: Dataset) -> tuple[Rows, Rows]:
        """Row numbers to train on and to hold out, each ascending."""
        generator = np.random.default_rng(self.seed)
        held_out = self._classes(dataset, generator) if self.by == "class" else self._samples(dataset, generator)
        train, test = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        if not len(test):
            raise ExperimentError(
                f"the held-out set is empty: test_fraction {self.test_fraction} of {len(train)} rows; raise it"
            )
        otherwise = "give more rows a class" + (", or split by class" if self.by == "sample" else "")
        if _largest_class(dataset.labels[train]) < 2:
            raise ExperimentError(
                "no class has two training rows after the split, so there is no pair to learn from; "
                f"lower test_fraction (now {self.test_fraction}) or {otherwise}"
            )
        if _largest_class(dataset.labels[test]) < 2:
            raise ExperimentError(
                "no class has two held-out rows after the split, so retrieval cannot be measured; "
                f"raise test_fraction (now {self.test_fraction}) or {otherwise}"
            )
        return train, test

    def _samples(self, dataset: Dataset, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Stratified: from each class the rounded share, but at least one row stays to learn from."""
        held_out = np.zeros(len(dataset.labels), dtype=bool)
        for number in range(len(dataset.classes)):
            rows = np.flatnonzero(dataset.labels == number)
            share = min(int(len(rows) * self.test_fraction + 0.5), len(rows) - 1)
            held_out[generator.permutation(rows)[:share]] = True
        return held_out

    def _classes(self, dataset: Dataset, generator: np.random.Generator) -> NDArray[np.bool_]:
        count = len(dataset.classes)
        if count < 4:
            raise ExperimentError(
                f"a split by class needs 4 classes or more, 2 to learn from and 2 held out; the data has {count}. "
                "Split by sample instead"
            )
        share = min(max(int(count * self.test_fraction + 0.5), 2), count - 2)
        return np.isin(dataset.labels, generator.permutation(count)[:share])


def _largest_class(labels: NDArray[np.int64]) -> int:
    return int(np.bincount(labels).max(initial=0))
