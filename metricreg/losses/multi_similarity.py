"""Multi-similarity loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import LossSlots
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import softplus, weighted_logsumexp


class MultiSimilarityLoss(LogSumExpLoss):
    r"""Weighs each pair by how it stands to the anchor's other pairs.

    $$\ell_a = \frac1\alpha \log \left( 1 + \sum_{p} e^{-\alpha (s(a, p) - \lambda)} \right)
             + \frac1\beta \log \left( 1 + \sum_{n} e^{\beta (s(a, n) - \lambda)} \right)$$

    A pair that tuples repeat counts once. Wang et al. 2019, "Multi-Similarity Loss with General Pair Weighting for Deep
    Metric Learning".

    Args:
        alpha: sharpness of the positives, greater than 0.
        beta: sharpness of the negatives, greater than 0.
        base: lambda, the similarity around which pairs are weighed.
    """

    default_distance = CosineSimilarity

    def __init__(
        self,
        alpha: Annotated[float, Field(gt=0)] = 2.0,
        beta: Annotated[float, Field(gt=0)] = 50.0,
        base: float = 0.5,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def exponents(self, distances: Tensor) -> Exponents:
        """Similarities over the base, times beta."""
        scale = self.distance.sign * self.beta
        return distances, scale, -scale * self.base

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        negative, near, among = self.logsumexp_and_positives(batch)
        positive = weighted_logsumexp(self.alpha * self.distance.margin(near, self.base), among != 0)
        return {"loss": Term(softplus(positive) / self.alpha + softplus(negative) / self.beta)}
