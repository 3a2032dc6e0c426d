"""Angular loss."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.distances import LpDistance
from metricreg.kinds import Distance, Loss, LossSlots
from metricreg.kinds.loss import Terms
from metricreg.losses.logsumexp import log_one_plus_exp, masked_logsumexp
from metricreg.term import Term


class AngularLoss(Loss):
    r"""Bounds the angle at the negative of the triangle that it makes with a positive pair.

    $$\ell = \log \left( 1 + \sum_n e^{f(a, p, n)} \right)$$

    $$f(a, p, n) = 4 \tan^2 \alpha \langle x_a + x_p, x_n \rangle - 2 (1 + \tan^2 \alpha) \langle x_a, x_p \rangle$$

    All embeddings are unit vectors, negatives too. Costs a matrix product for each of the up to K positives of the
    anchors. Wang et al. 2017, "Deep Metric Learning with Angular Loss".

    Args:
        alpha: the largest angle that costs little, in degrees, between 0 and 90.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (LpDistance,)

    def __init__(self, alpha: Annotated[float, Field(gt=0, lt=90)] = 40.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.alpha = alpha
        d = self.distance
        assert isinstance(d, LpDistance)
        if d.p != 2.0 or d.power != 1.0 or not d.normalize:
            raise ValueError(
                "AngularLoss is about angles of unit embeddings: LpDistance with p=2, power=1 and normalize=True, not "
                f"p={d.p:g}, power={d.power:g} and normalize={d.normalize}"
            )

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a positive pair, `[A, K]`."""
        anchors, references = self.distance.prepared(batch.anchors), self.distance.prepared(batch.references)
        index, counts = batch.positive_index
        positives = references[index]  # [A, K, D]
        squared = math.tan(math.radians(self.alpha)) ** 2
        to_negatives = ((anchors[:, None] + positives) @ references.mT).flatten(0, 1)  # [A · K, M]
        weight = batch.negatives[:, None].expand(-1, index.shape[1], -1).flatten(0, 1)
        negatives = masked_logsumexp(4.0 * squared * to_negatives, weight).reshape(index.shape)
        to_positive = (anchors[:, None] * positives).sum(2)
        losses = log_one_plus_exp(negatives - 2.0 * (1.0 + squared) * to_positive)
        return {"loss": Term(losses, counts, kind="pos_pair")}

    def width(self, batch: Batch) -> int:
        """K · M: each positive pair meets all references."""
        return len(batch.references) * max(1, batch.positive_index[0].shape[1])
