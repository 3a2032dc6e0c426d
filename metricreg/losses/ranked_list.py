"""Ranked list loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms


class RankedListLoss(Loss):
    r"""Pulls positives within alpha - m of the anchor and pushes negatives beyond alpha, the worst of them most.

    $$\ell_a = (1 - \lambda) \sum_{p \in P^*} \frac{w_p}{\sum w} \left( d(a, p) - (\alpha - m) \right)
             + \lambda \sum_{n \in N^*} \frac{w_n}{\sum w} \left( \alpha - d(a, n) \right)$$

    $$P^* = \{p : d(a, p) > \alpha - m\} \qquad N^* = \{n : d(a, n) < \alpha\}$$

    $$w_p = e^{T_p (d(a, p) - (\alpha - m))} \qquad w_n = e^{T_n (\alpha - d(a, n))}$$

    A pair that tuples repeat counts once. Not for similarities. Wang et al. 2019, "Ranked List Loss for Deep Metric
    Learning".

    Args:
        margin: m, between positives and negatives, at least 0.
        Tn: temperature of the negatives' weights, at least 0; at 0 they weigh the same.
        imbalance: lambda, the negatives' part of the loss, 0 to 1.
        alpha: distance beyond which negatives cost nothing; 1 + margin / 2 if None.
        Tp: temperature of the positives' weights, at least 0.
    """

    def __init__(
        self,
        margin: Annotated[float, Field(ge=0)],
        Tn: Annotated[float, Field(ge=0)],  # noqa: N803 - the paper's name
        imbalance: Annotated[float, Field(ge=0, le=1)] = 0.5,
        alpha: float | None = None,
        Tp: Annotated[float, Field(ge=0)] = 0.0,  # noqa: N803
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        if self.distance.is_inverted:
            raise ValueError(
                f"RankedListLoss works with distances, not with similarities: {type(self.distance).__name__}"
            )
        self.margin = margin
        self.Tn = Tn
        self.imbalance = imbalance
        self.alpha = 1.0 + margin / 2.0 if alpha is None else alpha
        self.Tp = Tp

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        d = self.distance.between(batch)
        far, among = batch.at_positives(d)
        pull = _weighted_excess(far - (self.alpha - self.margin), among != 0, self.Tp)
        push = _weighted_excess(self.alpha - d, batch.negative_mask.as_bool(), self.Tn)
        return {"loss": Term((1.0 - self.imbalance) * pull + self.imbalance * push)}


def _weighted_excess(excess: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Mean of the positive entries of each row `[A, M]` that are among some, weighed by their softmax; 0 of none."""
    among = among & ~(excess <= 0.0)  # NaN is not left out
    none = ~among.any(1, keepdim=True)
    weights = torch.softmax((temperature * excess).masked_fill(~(among | none), -torch.inf), 1)
    return (weights * excess).masked_fill(~among, 0.0).sum(1)
