"""Ranked list loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.functional.logsumexp import PER_E, which
from metricreg.functional.strips import Rowwise, Which

NOTHING = -1e4
"""An excess of which the weight is 0, in any precision."""


class RankedListLoss(Loss):
    r"""Pulls positives within alpha - m of the anchor and pushes negatives beyond alpha, the worst of them most.

    $$\ell_a = (1 - \lambda) \sum_{p \in P^*} \frac{w_p}{\sum w} \left( d(a, p) - (\alpha - m) \right)
             + \lambda \sum_{n \in N^*} \frac{w_n}{\sum w} \left( \alpha - d(a, n) \right)$$

    $$P^* = \{p : d(a, p) > \alpha - m\} \qquad N^* = \{n : d(a, n) < \alpha\}$$

    $$w_p = e^{T_p (d(a, p) - (\alpha - m))} \qquad w_n = e^{T_n (\alpha - d(a, n))}$$

    A pair that tuples repeat counts once. Not for similarities. Wang et al. 2019, "Ranked List Loss for Deep Metric
    Learning".

    Args:
        margin: m, between positives and negatives, at least 0.
        Tn: temperature of the negatives' weights, at least 0; at 0 they weigh the same.
        imbalance: lambda, the negatives' part of the loss, 0 to 1.
        alpha: distance beyond which negatives cost nothing; 1 + margin / 2 if None.
        Tp: temperature of the positives' weights, at least 0.
    """

    def __init__(
        self,
        margin: Annotated[float, Field(ge=0)],
        Tn: Annotated[float, Field(ge=0)],  # noqa: N803 - the paper's name
        imbalance: Annotated[float, Field(ge=0, le=1)] = 0.5,
        alpha: float | None = None,
        Tp: Annotated[float, Field(ge=0)] = 0.0,  # noqa: N803
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        if self.distance.is_inverted:
            raise ValueError(
                f"RankedListLoss works with distances, not with similarities: {type(self.distance).__name__}"
            )
        self.margin = margin
        self.Tn = Tn
        self.imbalance = imbalance
        self.alpha = 1.0 + margin / 2.0 if alpha is None else alpha
        self.Tp = Tp

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        d = self.distance(batch.anchors, batch.references)
        return {"loss": Term(_RankedList(self, batch)(d))}


class _RankedList(Rowwise):
    """The loss of each anchor as a function of its distances."""

    keeps: ClassVar[bool] = True

    def __init__(self, loss: RankedListLoss, batch: Batch) -> None:
        self.boundary, self.alpha = loss.alpha - loss.margin, loss.alpha
        self.far, self.near = (1.0 - loss.imbalance, loss.Tp), (loss.imbalance, loss.Tn)
        self.batch, self.negatives = batch, Which(which(batch.negatives))

    def plain(self, values: Tensor) -> Tensor:
        far, among = self.batch.at_positives(values)
        pull = _weighted_excess(far - self.boundary, among != 0, self.far[1])
        push = _weighted_excess(self.alpha - values, self.negatives.weight, self.near[1])
        return self.far[0] * pull + self.near[0] * push

    def value(self, values: Tensor, rows: slice) -> Tensor:
        far, _ = self._of_positives(values, rows)
        return self.far[0] * far.value + self.near[0] * self._of_negatives(values, rows).value

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        self._slope(self._of_positives(values, rows), self._of_negatives(values, rows), gradient, out)

    def value_and_derivative(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        far, near = self._of_positives(values, rows), self._of_negatives(values, rows)
        self._slope(far, near, values.new_ones(len(values)), out)
        return self.far[0] * far[0].value + self.near[0] * near.value

    def _slope(self, of_positives: tuple[_Excess, Tensor | None], near: _Excess, gradient: Tensor, out: Tensor) -> None:
        near.slope(gradient * -self.near[0], out)
        far, index = of_positives
        slope = far.slope(gradient * self.far[0], far.excess)
        if index is None:
            out += slope
        else:
            out.scatter_add_(1, index, slope)

    def _of_positives(self, values: Tensor, rows: slice) -> tuple[_Excess, Tensor | None]:
        """By how much positives are beyond their boundary, `[R, K]`, and where they stand, unless it is M."""
        if self.batch.lists_positives:
            index, counts = (part[rows] for part in self.batch.positive_index)
            far = values.gather(1, index)
        else:
            index, counts, far = None, which(self.batch.positives[rows]), values.clone()
        far.sub_(self.boundary).mul_(self.far[1] * PER_E or 1.0).masked_fill_(~counts, 0.0)
        return _Excess(far, torch.empty_like(far), torch.empty_like(far), self.far[1]), index

    def _of_negatives(self, values: Tensor, rows: slice) -> _Excess:
        """By how much negatives are within theirs, `[R, M]`."""
        near, weights, scratch = (self.scratch(values, number) for number in range(3))
        times = self.near[1] * PER_E or 1.0
        torch.sub(values.new_tensor(self.alpha * times), values, alpha=times, out=near)
        return _Excess(self.negatives.fill_(near, rows, 0.0), weights, scratch, self.near[1])


def _weighted_excess(excess: Tensor, among: Tensor, temperature: float) -> Tensor:
    """Mean of the positive entries of each row `[A, M]` that are among some, weighed by their softmax; 0 of none."""
    among = among & ~(excess <= 0.0)  # NaN is not left out
    none = ~among.any(1, keepdim=True)
    weights = torch.softmax((temperature * excess).masked_fill(~(among | none), -torch.inf), 1)
    return (weights * excess).masked_fill(~among, 0.0).sum(1)


class _Excess:
    """The same of all entries, and its gradient, in few passes.

    Args:
        excess: `[R, M]`, times the temperature over log 2, unless that is 0; changed here.
        weights: `[R, M]`, memory to put weights in.
        scratch: `[R, M]`, more of it.
        temperature: at least 0.
    """

    def __init__(self, excess: Tensor, weights: Tensor, scratch: Tensor, temperature: float) -> None:
        self.excess, self.weights, self.temperature = excess, weights, temperature
        if temperature:
            torch.threshold_(excess, 0.0, NOTHING)
            top = excess.amax(1, keepdim=True).clamp_(min=0.0) if excess.shape[1] else 0.0
            torch.sub(excess, top, out=weights).exp2_()
        else:
            torch.gt(excess.clamp_(min=0.0), 0.0, out=weights)
        self.total = weights.sum(1)
        self.total.masked_fill_(self.total == 0.0, 1.0)
        self.mean = torch.mul(weights, excess, out=scratch).sum(1) / self.total  # times as much, too

    @property
    def value(self) -> Tensor:
        """The mean, `[R]`."""
        return self.mean / (self.temperature * PER_E or 1.0)

    def slope(self, gradient: Tensor, out: Tensor) -> Tensor:
        """The gradient with respect to the excess, written to `out` `[R, M]`."""
        factor = gradient / self.total
        if not self.temperature:
            return torch.mul(self.weights, factor[:, None], out=out)
        factor = factor / PER_E
        same = (PER_E - self.mean) * factor
        return torch.addcmul(same[:, None], self.excess, factor[:, None], out=out).mul_(self.weights)
