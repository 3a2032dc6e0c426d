"""Few centers a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer, RegularizerSlots
from metricreg.distances import CosineSimilarity
from metricreg.errors import InputError
from metricreg.functional.euclidean import euclidean
from metricreg.reducers import DivisorReducer


class SparseCentersRegularizer(Regularizer):
    r"""Pulls the several centers of a class together, so that classes use no more of them than they need.

    $$r = \frac{1}{C K (K - 1)} \sum_c \sum_{i<j} \sqrt{2 - 2 \cos(w_{c,i}, w_{c,j})}$$

    The matrix has C · K rows, the centers of a class one after the other. Qian et al. 2019, "SoftTriple Loss".

    Args:
        num_classes: C, at least 1.
        centers_per_class: K, at least 2.
    """

    default_reducer = DivisorReducer

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        centers_per_class: Annotated[int, Field(gt=1)],
        **slots: Unpack[RegularizerSlots],
    ) -> None:
        super().__init__(**slots)
        self.num_classes = num_classes
        self.centers_per_class = centers_per_class
        self.distance = CosineSimilarity()

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """Chord lengths within each class `[C, K(K-1)/2]`."""
        classes, centers = self.num_classes, self.centers_per_class
        if len(x) != classes * centers:
            raise InputError(f"sparse_centers expects {classes} x {centers} = {classes * centers} rows; got {len(x)}")
        units = self.distance.prepare(x).reshape(classes, centers, -1)
        i, j = torch.triu_indices(centers, centers, 1, device=x.device)
        chords = euclidean(units, units)[:, i, j]
        pairs = torch.full((len(x),), centers - 1, device=x.device)
        rows = torch.arange(classes, device=x.device).repeat_interleave(len(i))
        return {"loss": Term(chords.flatten(), rows=rows * centers, divisor=pairs)}
