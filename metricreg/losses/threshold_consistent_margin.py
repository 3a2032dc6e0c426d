"""Threshold-consistent margin loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar
from metricreg.components import Distance, Loss, Match, UnreducedLossSlots, symmetric
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity, DotProductSimilarity


class ThresholdConsistentMarginLoss(Loss):
    r"""Mean violation of one margin by positive pairs and of another by negative pairs; beside another loss.

    $$\lambda^+ \frac{\sum_{s \in S^+} (m^+ - s) [s \le m^+]}{\sum_{s \in S^+} [s \le m^+]} +
      \lambda^- \frac{\sum_{s \in S^-} (s - m^-) [s \ge m^-]}{\sum_{s \in S^-} [s \ge m^-]}$$

    S are the similarities of all positive and of all negative pairs of the batch, as often as tuples list them; where
    none violates its margin, that part is 0. They are means of their own, which no reducer changes. Zhang et al. 2024,
    "Threshold-Consistent Margin Loss for Open-World Deep Metric Learning".

    Args:
        lambda_plus: weight of the positive pairs, at least 0.
        lambda_minus: weight of the negative pairs, at least 0.
        margin_plus: what positives are to have at least, in units of the similarity.
        margin_minus: what negatives are to have at most, in units of the similarity.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity, DotProductSimilarity)
    default_distance = CosineSimilarity

    def __init__(
        self,
        lambda_plus: Annotated[float, Field(ge=0)] = 1.0,
        lambda_minus: Annotated[float, Field(ge=0)] = 1.0,
        margin_plus: float = 0.9,
        margin_minus: float = 0.5,
        match: Match | None = None,
        **slots: Unpack[UnreducedLossSlots],
    ) -> None:
        super().__init__(match=match, **slots)
        self.lambda_plus = lambda_plus
        self.lambda_minus = lambda_minus
        self.margin_plus = margin_plus
        self.margin_minus = margin_minus

    @symmetric
    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`: of `[A, M]`, the sum of the violations of each margin, and their number."""
        s = self.distance.between(batch)
        near, among = batch.at_positives(s)
        pull = _violations(self.margin_plus - near, among)
        push = _violations(s - self.margin_minus, batch.negatives)
        return {
            "pos_loss": Scalar(pull, lambda total, count: self.lambda_plus * total / count.clamp(min=1)),
            "neg_loss": Scalar(push, lambda total, count: self.lambda_minus * total / count.clamp(min=1)),
        }


def _violations(excess: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and number of what is at least 0, of those that count."""
    counted = weight * ~(excess < 0.0)  # NaN counts
    return (excess.masked_fill(counted == 0, 0.0) * counted).sum(), counted.sum()
