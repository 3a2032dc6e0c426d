"""Trimmed mean."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

import metricreg


class TrimmedMeanReducer(metricreg.Reducer):
    r"""Mean of all but the largest values, which are taken to be mislabelled.

    $$\frac{1}{k} \sum_{i=1}^k \ell_{(i)}, \qquad k = n - \lfloor \text{fraction} \cdot n \rfloor$$

    The values are sorted, smallest first; a value that counts several times is dropped or kept as often. Which values
    are dropped depends on all of them, so this reducer is evaluated on the whole batch. No value gives 0. A NaN is
    never dropped. Shen and Sanghavi 2019, "Learning with Bad Training Data via Iterative Trimmed Loss Minimization".

    Args:
        fraction: how much of the values is dropped, at least 0, less than 1.
    """

    def __init__(self, fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1) -> None:
        super().__init__()
        self.fraction = fraction

    def reduce(self, term: metricreg.Term) -> Tensor:
        """The mean of the smallest values."""
        values = term.values
        weight = torch.ones_like(values, dtype=torch.int64) if term.weight is None else term.weight
        times = weight.expand_as(values).flatten().long()
        values = values.flatten().where(times > 0, torch.inf)  # what does not count comes last
        values, order = values.sort()
        times = times[order]
        count = times.sum()
        kept = count - (self.fraction * count.double()).floor().long()
        before = times.cumsum(0) - times
        taken = torch.minimum((kept - before).clamp(min=0), times)
        poison = (values.detach().isnan() & (times > 0)).any()  # sorted last, where it would be dropped
        total = (values.where(taken > 0, 0.0) * taken).sum() / kept.clamp(min=1)
        return total.where(~poison, torch.nan)
