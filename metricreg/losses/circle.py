"""Circle loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.distances import CosineSimilarity
from metricreg.kinds import Distance, Loss, LossSlots, Reducer
from metricreg.kinds.loss import Terms
from metricreg.losses.logsumexp import log_one_plus_exp, masked_logsumexp, which
from metricreg.reducers import AvgNonZeroReducer
from metricreg.term import Term


class CircleLoss(Loss):
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

    def __init__(self, m: float = 0.4, gamma: Annotated[float, Field(gt=0)] = 80.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.m = m
        self.gamma = gamma

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    @classmethod
    def default_reducer(cls) -> Reducer:
        """The mean over the anchors that cost something."""
        return AvgNonZeroReducer()

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        s = self.distance(batch.anchors, batch.references)
        near, among = batch.at_positives(s)
        pull = (1.0 + self.m - near.detach()).relu() * (1.0 - self.m - near)
        push = (s.detach() + self.m).relu() * (s - self.m)
        positive = masked_logsumexp(self.gamma * pull, among != 0)
        negative = masked_logsumexp(self.gamma * push, which(batch.negatives))
        return {"loss": Term(log_one_plus_exp(positive + negative))}
