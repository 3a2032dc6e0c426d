"""Circle loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Distance, LossSlots
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import softplus, weighted_logsumexp
from metricreg.reducers import AvgNonZeroReducer


class CircleLoss(LogSumExpLoss):
    r"""Weighs each similarity by how far it is from its optimum: 1 + m for positives, -m for negatives.

    $$\ell_a = \log \left( 1 + \sum_n e^{\gamma [s(a, n) + m]_+ (s(a, n) - m)}
        \sum_p e^{-\gamma [1 + m - s(a, p)]_+ (s(a, p) - 1 + m)} \right)$$

    The weights in brackets are constants to the gradient, as in the paper. An anchor without positives or without
    negatives has 0. A pair that tuples repeat counts once. Sun et al. 2020, "Circle Loss: A Unified Perspective of Pair
    Similarity Optimization".

    Args:
        m: relaxation, in units of the cosine; the radius of the decision boundary is m times the root of 2.
        gamma: scale, greater than 0; 80 for retrieval, 128 for re-identification, 256 for faces, with m = 0.25 in the
            last two.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity
    default_reducer = AvgNonZeroReducer

    def __init__(self, m: float = 0.4, gamma: Annotated[float, Field(gt=0)] = 80.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.m = m
        self.gamma = gamma

    def exponents(self, distances: Tensor) -> Exponents:
        """Similarities over m, times how far they are over -m, which is a constant to the gradient."""
        return (distances.detach() + self.m).relu() * (distances - self.m), self.gamma, 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        negative, near, among = self.logsumexp_and_positives(batch)
        pull = (1.0 + self.m - near.detach()).relu() * (1.0 - self.m - near)
        positive = weighted_logsumexp(self.gamma * pull, among != 0)
        return {"loss": Term(softplus(positive + negative))}
