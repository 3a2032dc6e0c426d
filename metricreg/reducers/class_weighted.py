"""Class-weighted mean."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch.labels import check_classes
from metricreg.batch.terms import Term
from metricreg.components import Reducer
from metricreg.errors import InputError


class ClassWeightedReducer(Reducer):
    r"""Mean of the values, each times the weight of its anchor's class.

    $$\frac{1}{n} \sum_{i=1}^n w_{y_i} \ell_i$$

    The labels must be 0 to C - 1.

    Args:
        weights: a factor for each of the C classes.
    """

    weights: Tensor

    def __init__(self, weights: Annotated[list[float], Field(min_length=1)]) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor(weights))

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Weighted sum, and count."""
        total, count = term.per_anchor()
        if term.labels is None:
            raise InputError("the reducer class_weighted needs labels")
        check_classes(term.labels, len(self.weights), "class_weighted")
        return (total * self.weights.to(total.dtype)[term.labels.long()]).sum(), count.sum()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        """Sum over count."""
        return total / count.clamp(min=1)
