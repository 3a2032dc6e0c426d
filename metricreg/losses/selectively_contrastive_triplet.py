"""Selectively contrastive triplet loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.summed_term import SummedTerm
from metricreg.batch.terms import Term
from metricreg.batch.tuples import Triplets
from metricreg.components import Distance, Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import PER_E, log_one_plus_exp, log_one_plus_exp_sums_
from metricreg.functional.row_sums import number
from metricreg.functional.strips import Rowwise, Which

RESOLUTION = 16.0
"""A negative that is nearer than the positive by less than this many rounding errors is as near."""
NOWHERE = -1e30
"""A similarity under all others, of which 0 times is 0."""


class SelectivelyContrastiveTripletLoss(Loss):
    r"""Leaves the positive alone in a triplet whose negative is nearer, and only pushes that negative away.

    $$\ell = \begin{cases} \lambda \, s(a, n) & s(a, n) > s(a, p) \\
      -\log \dfrac{e^{s(a, p) / \tau}}{e^{s(a, p) / \tau} + e^{s(a, n) / \tau}} & \text{otherwise} \end{cases}$$

    All triplets of a batch are meant unless tuples or a miner say otherwise; the paper's experiments take of each
    anchor the easiest positive and the hardest negative, as the miner `batch_easy_hard` does if asked to. Values may be
    negative. A distance enters with its sign turned. Xuan et al. 2020, "Hard Negative Examples are Hard, but Useful".

    Args:
        hard_weight: lambda, the weight of triplets whose negative is nearer, at least 0.
        temperature: tau of the others, greater than 0; 0.1 in the paper's experiments, 1 in its formula.
    """

    def __init__(
        self,
        hard_weight: Annotated[float, Field(ge=0)] = 1.0,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.hard_weight = hard_weight
        self.temperature = temperature

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    def terms(self, batch: Batch) -> Terms:
        """`loss`: `[A, K, M]`, or a list `[T]` where triplets are listed."""
        s = self.distance.closeness(self.distance(batch.anchors, batch.references))
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            return {"loss": Term(self._cost(s[rows, positive], s[rows, negative]), kind="triplet", rows=rows)}
        index, counts = batch.positive_index

        def each() -> Term:
            weight = counts[:, :, None] * batch.negatives[:, None, :]
            return Term(self._cost(s.gather(1, index)[:, :, None], s[:, None, :]), weight, kind="triplet")

        if batch.selection is not None:  # in which a pair may count more than once
            return {"loss": each()}
        of = counts.sum(1)
        numbers = of * number(s, batch.negatives)
        if batch.lists_positives and len(of):  # where an anchor stands among its positives, and does not count
            first = counts.int().argsort(dim=1, descending=True, stable=True)[:, : int(of.max())]
            index, counts = index.gather(1, first), counts.gather(1, first)
        given = index, counts, batch.negatives, self.hard_weight, self.temperature
        sums, size = _Sums(*given), s.numel() * index.shape[1]

        def within(low: float | None, high: float | None) -> tuple[Tensor, Tensor]:
            total, count = _SumsWithin(*given, low, high)(s).unbind(1)
            return total, count.detach().long()

        return {"loss": SummedTerm(each, lambda: sums(s), numbers, size, "triplet", within=within)}

    def width(self, batch: Batch) -> int:
        """M values an anchor where triplets are listed or summed unlisted, K · M where each is made."""
        references = len(batch.references)
        unlisted = batch.selection is None and not self.reducer.needs_values
        if isinstance(batch.selection, Triplets) or unlisted:
            return references
        return references * max(1, batch.positive_index[0].shape[1])

    def _cost(self, positive: Tensor, negative: Tensor) -> Tensor:
        return _cost(positive, negative, self.hard_weight, self.temperature)


def _noise(positive: Tensor) -> Tensor:
    return RESOLUTION * torch.finfo(positive.dtype).eps * positive.detach().abs()


def _cost(positive: Tensor, negative: Tensor, hard_weight: float, temperature: float) -> Tensor:
    ahead = negative - positive
    return torch.where(ahead > _noise(positive), hard_weight * negative, log_one_plus_exp(ahead / temperature))


class _Sums(Rowwise):
    """The sum of each anchor's triplets, one positive after another: from similarities `[A, M]` to `[A]`.

    Args:
        index: `[A, K]`, the columns of positives.
        counts: bool `[A, K]`, which of those count.
        negatives: bool `[A, M]`.
        hard_weight: the weight of triplets whose negative is nearer.
        temperature: of the others.
    """

    def __init__(
        self, index: Tensor, counts: Tensor, negatives: Tensor, hard_weight: float, temperature: float
    ) -> None:
        self.index, self.counts, self.negatives = index, counts, Which(negatives)
        self.hard_weight, self.temperature = hard_weight, temperature

    def plain(self, values: Tensor) -> Tensor:
        positive, negative = values.gather(1, self.index)[:, :, None], values[:, None, :]
        weight = self.counts[:, :, None] & self.negatives.weight[:, None, :]
        cost = _cost(positive, negative, self.hard_weight, self.temperature)
        return cost.masked_fill(~weight, 0.0).sum((1, 2))

    def value(self, values: Tensor, rows: slice) -> Tensor:
        near, far = self._pairs(values, rows)
        hard, total = self.scratch(values, 1).zero_(), values.new_zeros(len(values))
        for positive in near.unbind(1):
            total += log_one_plus_exp_sums_(self._of_easy(positive[:, None], far, hard, PER_E))
        return total + self.hard_weight * hard.mul_(far).sum(1)

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        near, far = self._pairs(values, rows)
        hard = self.scratch(values, 1).zero_()
        of_near = torch.zeros_like(near)
        out.zero_()
        for k, positive in enumerate(near.unbind(1)):
            part = self._of_easy(positive[:, None], far, hard, 1.0).sigmoid_()
            of_near[:, k] = part.sum(1)
            out += part
        scale = gradient[:, None] / self.temperature
        out.add_(hard, alpha=self.hard_weight * self.temperature).mul_(scale)
        out.scatter_add_(1, self.index[rows], of_near * -scale)

    def _pairs(self, values: Tensor, rows: slice) -> tuple[Tensor, Tensor]:
        """Similarities of positives `[R, K]`, and of negatives `[R, M]`; extreme where they are none."""
        near = values.gather(1, self.index[rows]).masked_fill_(~self.counts[rows], torch.inf)
        return near, self.negatives.fill_(self.scratch(values).copy_(values), rows, NOWHERE)

    def _of_easy(self, positive: Tensor, far: Tensor, hard: Tensor, times: float) -> Tensor:
        """By how much negatives are nearer than a positive, over the temperature; far below 0 where that is too much.

        Args:
            positive: `[R, 1]`.
            far: `[R, M]`.
            hard: `[R, M]`, to which 1 is added where it is too much.
            times: by what to multiply it.
        """
        ahead, beyond = torch.sub(far, positive, out=self.scratch(far, 2)), self.scratch(far, 3)
        hard += torch.gt(ahead, _noise(positive), out=beyond)
        return ahead.add_(beyond, alpha=NOWHERE).mul_(times / self.temperature)


class _SumsWithin(_Sums):
    """Sum and number of each anchor's triplets that cost more than one bound and less than another: `[A, 2]`."""

    def __init__(
        self,
        index: Tensor,
        counts: Tensor,
        negatives: Tensor,
        hard_weight: float,
        temperature: float,
        low: float | None,
        high: float | None,
    ) -> None:
        super().__init__(index, counts, negatives, hard_weight, temperature)
        self.low, self.high = low, high

    def plain(self, values: Tensor) -> Tensor:
        near = values.gather(1, self.index)
        parts = [self._of(near[:, k : k + 1], values, k, slice(None)) for k in range(near.shape[1])]
        return sum(parts, torch.stack([values[:, :0].sum(1)] * 2, 1))

    def value(self, values: Tensor, rows: slice) -> Tensor:
        near = values.gather(1, self.index[rows])
        found = values.new_zeros(len(values), 2)
        for k in range(near.shape[1]):
            found += self._of(near[:, k : k + 1], values, k, rows)
        return found

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        near = values.gather(1, self.index[rows])
        of_near = torch.zeros_like(near)
        out.zero_()
        for k in range(near.shape[1]):
            positive = near[:, k : k + 1]
            ahead = values - positive
            hard, kept = ahead > _noise(positive), self._kept(self._costs(positive, values), k, rows)
            easy = (ahead / self.temperature).sigmoid_().div_(self.temperature).masked_fill_(hard | ~kept, 0.0)
            out += easy.masked_fill(hard & kept, self.hard_weight)
            of_near[:, k] = easy.sum(1)
        out.mul_(gradient[:, :1]).scatter_add_(1, self.index[rows], of_near * -gradient[:, :1])

    def _of(self, positive: Tensor, values: Tensor, k: int, rows: slice) -> Tensor:
        costs = self._costs(positive, values)
        kept = self._kept(costs, k, rows)
        return torch.stack([costs.masked_fill(~kept, 0.0).sum(1), kept.sum(1, dtype=values.dtype)], 1)

    def _costs(self, positive: Tensor, values: Tensor) -> Tensor:
        return _cost(positive, values, self.hard_weight, self.temperature)

    def _kept(self, costs: Tensor, k: int, rows: slice) -> Tensor:
        """Which triplets of the k-th positive are between the bounds; NaN is between any."""
        kept = self.negatives.weight[rows] & self.counts[rows, k : k + 1]
        if self.low is not None:
            kept = kept & ~(costs <= self.low)
        return kept if self.high is None else kept & ~(costs >= self.high)
