"""Selectively contrastive triplet loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.batch.tuples import Triplets
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import softplus

RESOLUTION = 16.0
"""A negative that is nearer than the positive by less than this many rounding errors is as near."""


class SelectivelyContrastiveTripletLoss(Loss):
    r"""Leaves the positive alone in a triplet whose negative is nearer, and only pushes that negative away.

    $$\ell = \begin{cases} \lambda \, s(a, n) & s(a, n) > s(a, p) \\
      -\log \dfrac{e^{s(a, p) / \tau}}{e^{s(a, p) / \tau} + e^{s(a, n) / \tau}} & \text{otherwise} \end{cases}$$

    All triplets of a batch are meant unless tuples or a miner say otherwise; the paper's experiments take of each
    anchor the easiest positive and the hardest negative, as the miner `batch_easy_hard` does if asked to. Values may be
    negative. A distance enters with its sign turned. Xuan et al. 2020, "Hard Negative Examples are Hard, but Useful".

    Args:
        hard_weight: lambda, the weight of triplets whose negative is nearer, at least 0.
        temperature: tau of the others, greater than 0; 0.1 in the paper's experiments, 1 in its formula.
    """

    default_distance = CosineSimilarity

    def __init__(
        self,
        hard_weight: Annotated[float, Field(ge=0)] = 1.0,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.hard_weight = hard_weight
        self.temperature = temperature

    def terms(self, batch: Batch) -> Terms:
        """`loss`: `[A, K, M]`, or a list `[T]` where triplets are listed."""
        s = self.distance.closeness(self.distance.between(batch))
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            return {"loss": Term(self._cost(s[rows, positive], s[rows, negative]), kind="triplet", rows=rows)}
        index, counts = batch.positive_index
        weight = counts[:, :, None] * batch.negatives[:, None, :]
        return {"loss": Term(self._cost(s.gather(1, index)[:, :, None], s[:, None, :]), weight, kind="triplet")}

    def width(self, batch: Batch) -> int:
        """K · M values an anchor; M where triplets are listed."""
        listed = isinstance(batch.selection, Triplets)
        return len(batch.references) * (1 if listed else max(1, batch.positive_index[0].shape[1]))

    def _cost(self, positive: Tensor, negative: Tensor) -> Tensor:
        return _cost(positive, negative, self.hard_weight, self.temperature)


def _noise(positive: Tensor) -> Tensor:
    return RESOLUTION * torch.finfo(positive.dtype).eps * positive.detach().abs()


def _cost(positive: Tensor, negative: Tensor, hard_weight: float, temperature: float) -> Tensor:
    ahead = negative - positive
    return torch.where(ahead > _noise(positive), hard_weight * negative, softplus(ahead / temperature))
