"""The `sampler` section of an experiment file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from metricreg.errors import ExperimentError
from metricreg.training.section import Count, Integer, Section

if TYPE_CHECKING:
    from metricreg.training.sampler import MPerClassSampler


class MPerClass(Section):
    """Batches of `batch_size / m` classes with `m` rows of each.

    Args:
        m: rows of a class in a batch; a class with fewer is drawn from with replacement.
        batch_size: rows of a batch, a multiple of `m`.
        batches_per_epoch: None is as many as it takes to draw as many rows as there are.
    """

    name: Literal["m_per_class"] = "m_per_class"
    m: Count = 4
    batch_size: Annotated[Integer, Field(ge=2, le=1_000_000)] = 32
    batches_per_epoch: Count | None = None

    @model_validator(mode="after")
    def _whole_classes(self) -> MPerClass:
        if self.batch_size % self.m:
            down = self.batch_size // self.m * self.m
            near = f"{down} or {down + self.m}" if down else f"{self.m}"
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of m {self.m}; {near} would be")
        return self

    def build(self, labels: NDArray[np.int64], seed: int) -> MPerClassSampler:
        """A sampler over rows with these labels; raises `ExperimentError` when there are too few classes.

        Args:
            labels: `[N]`, of the training rows.
            seed: of the order.
        """
        classes, needed = len(np.unique(labels)), self.batch_size // self.m
        if needed > classes:
            raise ExperimentError(
                f"sampler: a batch of {self.batch_size} with m {self.m} takes {needed} classes, the training rows have "
                f"{classes}; lower batch_size to {classes * self.m} or less, or raise m"
            )
        from metricreg.training.sampler import MPerClassSampler

        return MPerClassSampler(labels, self.m, self.batch_size, self.batches_per_epoch, seed)
