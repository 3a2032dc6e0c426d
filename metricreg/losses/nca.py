"""Neighbourhood components analysis."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import LossSlots
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.distances import LpDistance
from metricreg.functional.logsumexp import softplus, weighted_logsumexp


class NCALoss(LogSumExpLoss):
    r"""Negative log-probability that an anchor's random neighbour is one of its positives.

    $$\ell_a = -\log \frac{\sum_p e^{-\sigma d(a, p)}}{\sum_p e^{-\sigma d(a, p)} + \sum_n e^{-\sigma d(a, n)}}$$

    The sums are over all of the batch but the anchor itself. Tuples or a miner weigh each anchor's loss by how often it
    occurs in them. An anchor without positives has none. A similarity enters with its sign as it is. Goldberger et al.
    2004, "Neighbourhood Components Analysis".

    Args:
        softmax_scale: sigma, greater than 0.
    """

    counts_repeated: ClassVar[bool] = True
    default_distance = partial(LpDistance, power=2)

    def __init__(self, softmax_scale: Annotated[float, Field(gt=0)] = 1.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.softmax_scale = softmax_scale

    def prepare(self, batch: Batch) -> Batch:
        """Tuples become weights of the anchors."""
        return super().prepare(batch.replace(selection=None, weights=batch.row_weights()))

    def exponents(self, distances: Tensor) -> Exponents:
        """Scaled similarities."""
        return distances, self.distance.sign * self.softmax_scale, 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        negatives, near, among = self.logsumexp_and_positives(batch)
        counts = among.any(1)
        near = weighted_logsumexp(near, among, self.distance.sign * self.softmax_scale).masked_fill(~counts, 0.0)
        losses = softplus(negatives - near)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights, counts)}
