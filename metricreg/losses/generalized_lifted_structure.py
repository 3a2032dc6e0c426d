"""Generalized lifted structure loss."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import LossSlots
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.functional.logsumexp import weighted_logsumexp


class GeneralizedLiftedStructureLoss(LogSumExpLoss):
    r"""Wants the farthest of an anchor's positives nearer than the nearest of its negatives, by soft extremes.

    $$\ell_a = \left[ \log \sum_p e^{d(a, p) - m^+} + \log \sum_n e^{m^- - d(a, n)} \right]_+$$

    Of an anchor without positives, or without negatives, that logarithm is left out: the other sum stands alone. A pair
    that tuples repeat counts once. Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification".

    Args:
        neg_margin: added to the closeness of the negatives.
        pos_margin: subtracted from the distance of the positives; 0 in the paper.
    """

    def __init__(self, neg_margin: float = 1.0, pos_margin: float = 0.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.neg_margin = neg_margin
        self.pos_margin = pos_margin

    def exponents(self, distances: Tensor) -> Exponents:
        """How much closer they are than the margin."""
        return distances, self.distance.sign, -self.distance.sign * self.neg_margin

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        negative, far, among = self.logsumexp_and_positives(batch)
        positive = weighted_logsumexp(self.distance.margin(far, self.pos_margin), among != 0)
        both = positive.masked_fill(positive.isneginf(), 0.0) + negative.masked_fill(negative.isneginf(), 0.0)
        return {"loss": Term(both.relu())}
