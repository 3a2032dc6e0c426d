"""Tuplet margin loss."""

from __future__ import annotations

import math
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
from metricreg.distances.cosine import sines_between
from metricreg.functional.angles import cos_of_sum
from metricreg.functional.logsumexp import softplus


class TupletMarginLoss(LogSumExpLoss):
    r"""Cross entropy of each positive pair against all negatives of its anchor, less an angle at the positive.

    $$\ell = \log \left( 1 + \sum_n e^{s (\cos \theta_{an} - \cos(\theta_{ap} - \beta))} \right)$$

    One log-sum-exp of the negatives serves all positives of an anchor. The slack beta keeps it from overfitting to hard
    positives. Yu and Tao 2019, "Deep Metric Learning with Tuplet Margin Loss".

    Args:
        margin: beta, in degrees, 0 to 180.
        scale: s, greater than 0.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)

    counts_repeated: ClassVar[bool] = True
    default_distance = CosineSimilarity

    def __init__(
        self,
        margin: Annotated[float, Field(ge=0, le=180)] = 5.73,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.margin = margin
        self.scale = scale

    def exponents(self, distances: Tensor) -> Exponents:
        """Scaled similarities."""
        return distances, self.scale, 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a positive pair, `[A, K]`."""
        negatives, near, among = self.logsumexp_and_positives(batch)
        losses = softplus(negatives[:, None] - self.scale * self._with_slack(near, batch, among))
        return {"loss": Term(losses, among, kind="pos_pair")}

    def _with_slack(self, cosine: Tensor, batch: Batch, among: Tensor) -> Tensor:
        columns = batch.positive_index[0] if batch.lists_positives else None
        sine = sines_between(self.distance, batch, cosine, columns, among)
        return cos_of_sum(cosine, sine, cosine.new_full((), -math.radians(self.margin)))
