"""Threshold-consistent margin loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar
from metricreg.components import Distance, Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity, DotProductSimilarity
from metricreg.functional.strips import Rowwise, Which


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

    is_symmetric: ClassVar[bool] = True

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity, DotProductSimilarity)

    def __init__(
        self,
        lambda_plus: Annotated[float, Field(ge=0)] = 1.0,
        lambda_minus: Annotated[float, Field(ge=0)] = 1.0,
        margin_plus: float = 0.9,
        margin_minus: float = 0.5,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.lambda_plus = lambda_plus
        self.lambda_minus = lambda_minus
        self.margin_plus = margin_plus
        self.margin_minus = margin_minus

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`: the sum of the violations of each margin, and their number."""
        s = self.distance(batch.anchors, batch.references)
        if batch.selection is not None:  # in which a pair may count more than once
            pull = _violations(self.margin_plus - s, batch.positives)
            push = _violations(s - self.margin_minus, batch.negatives)
        else:
            each = _Violations(batch, self.margin_plus, self.margin_minus)(s)
            numbers = each.detach()[:, 2:].long().sum(0)
            pull, push = (each[:, 0].sum(), numbers[0]), (each[:, 1].sum(), numbers[1])
        return {
            "pos_loss": Scalar(pull, lambda total, count: self.lambda_plus * total / count.clamp(min=1)),
            "neg_loss": Scalar(push, lambda total, count: self.lambda_minus * total / count.clamp(min=1)),
        }


def _violations(excess: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and number of what is at least 0, of those that count."""
    counted = weight * ~(excess < 0.0)  # NaN counts
    return (excess.masked_fill(counted == 0, 0.0) * counted).sum(), counted.sum()


class _Violations(Rowwise):
    """Of each anchor the sum of violations by positives, and by negatives; and the number of the two: `[A, 4]`."""

    def __init__(self, batch: Batch, margin_plus: float, margin_minus: float) -> None:
        self.margins = margin_plus, margin_minus
        self.batch, self.negatives = batch, Which(batch.negatives)

    def plain(self, values: Tensor) -> Tensor:
        near, counts = self.batch.at_positives(values)
        parts = [(self.margins[0] - near, counts), (values - self.margins[1], self.negatives.weight)]
        found = [(excess, weight & ~(excess < 0.0)) for excess, weight in parts]
        sums = [excess.masked_fill(~counted, 0.0).sum(1) for excess, counted in found]
        return torch.stack([*sums, *(counted.sum(1, dtype=values.dtype) for _, counted in found)], 1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        near, _ = self._of_positives(values, rows)
        far = self._of_negatives(values, rows, self.scratch(values))
        numbers = near.ge(0.0).sum(1, dtype=values.dtype), torch.ge(far, 0.0, out=self.scratch(values, 1)).sum(1)
        return torch.stack([near.clamp_(min=0.0).sum(1), far.clamp_(min=0.0).sum(1), *numbers], 1)

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        self._of_negatives(values, rows, out).ge_(0.0).mul_(gradient[:, 1:2])
        near, index = self._of_positives(values, rows)
        slope = near.ge_(0.0).mul_(-gradient[:, :1])
        if index is None:
            out += slope
        else:
            out.scatter_add_(1, index, slope)

    def _of_positives(self, values: Tensor, rows: slice) -> tuple[Tensor, Tensor | None]:
        """How far positives are below their margin, `[R, K]`, less than 0 for others; where they are, unless K is M."""
        if self.batch.lists_positives:
            index, counts = (part[rows] for part in self.batch.positive_index)
            return (self.margins[0] - values.gather(1, index)).masked_fill_(~counts, -1.0), index
        return (self.margins[0] - values).masked_fill_(~self.batch.positives[rows], -1.0), None

    def _of_negatives(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        """How far negatives are above their margin, `[R, M]`, less than 0 for others."""
        return self.negatives.fill_(torch.sub(values, self.margins[1], out=out), rows, -1.0)
