"""Angular loss."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Distance, Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance
from metricreg.functional.logsumexp import logsumexp, softplus


class AngularLoss(Loss):
    r"""Bounds the angle at the negative of the triangle that it makes with a positive pair.

    $$\ell = \log \left( 1 + \sum_n e^{f(a, p, n)} \right)$$

    $$f(a, p, n) = 4 \tan^2 \alpha \langle x_a + x_p, x_n \rangle - 2 (1 + \tan^2 \alpha) \langle x_a, x_p \rangle$$

    All embeddings are unit vectors, negatives too. Wang et al. 2017, "Deep Metric Learning with Angular Loss".

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
        index, valid = batch.positive_index
        x, y = batch.prepared(self.distance, self.distance.prepare)
        _, near = batch.prepared_at(self.distance, self.distance.prepare, index)
        squared = math.tan(math.radians(self.alpha)) ** 2
        scale, factor = 4.0 * squared, 2.0 * (1.0 + squared)
        to_anchor = batch.negative_mask.filled(x @ y.mT, -torch.inf)
        if batch.selection is not None:  # in which a pair may count more than once
            to_anchor = to_anchor + batch.negatives.clamp(min=1).to(x.dtype).log() / scale
        sums = to_anchor[:, None] + near @ y.mT
        found = logsumexp(sums.flatten(0, 1), None, scale).view(index.shape)
        return {"loss": Term(softplus(found - factor * (x[:, None] * near).sum(2)), valid, kind="pos_pair")}

    def width(self, batch: Batch) -> int:
        """K · M values an anchor."""
        return len(batch.references) * max(1, batch.positive_index[0].shape[1])
