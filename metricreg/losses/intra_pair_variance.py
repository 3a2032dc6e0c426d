"""Intra-pair variance loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.summed_term import SummedTerm
from metricreg.batch.terms import Term
from metricreg.components import Distance, Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.engine.operands import product_with_sum
from metricreg.functional.exclusion import exclusion_of
from metricreg.functional.row_sums import number
from metricreg.functional.strips import Rowwise, Which


class IntraPairVarianceLoss(Loss):
    r"""Brings pairs that are worse than the mean of their kind near to it; beside another loss.

    $$\ell^+ = \left[ (1 - \varepsilon^+) \mu^+ - s(a, p) \right]_+^2 \qquad
      \ell^- = \left[ s(a, n) - (1 + \varepsilon^-) \mu^- \right]_+^2$$

    The means mu are over all positive pairs and over all negative pairs of the batch. Of distances, those of positives
    are to stay under 1 + pos_eps times their mean, those of negatives over 1 - neg_eps times theirs. Yu and Tao 2019,
    "Deep Metric Learning with Tuplet Margin Loss".

    Args:
        pos_eps: how far from their mean, as a part of it, positives cost nothing; at least 0.
        neg_eps: the same for negatives.
    """

    is_symmetric: ClassVar[bool] = True

    def __init__(
        self,
        pos_eps: Annotated[float, Field(ge=0)] = 0.01,
        neg_eps: Annotated[float, Field(ge=0)] = 0.01,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.pos_eps = pos_eps
        self.neg_eps = neg_eps

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    def prepare(self, batch: Batch) -> Batch:
        """The means over all pairs of either kind; and the distances, where there is room for all."""
        if batch.tile is None and type(self).prepare is IntraPairVarianceLoss.prepare:
            batch = batch.replace(row={"distances": self.distance(batch.anchors, batch.references)})
        if self._sums_rows(batch):
            found = batch.totals(self._sums, symmetric=False)
        else:
            found = batch.totals(self._distances, symmetric=True)
        return batch.replace(whole={kind: total / count.clamp(min=1) for kind, (total, count) in found.items()})

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`: a value a pair, `[A, K]` and `[A, M]`."""
        d = self._all(batch)
        sign = -1.0 if self.distance.is_inverted else 1.0
        farthest = (1.0 + sign * self.pos_eps) * batch.whole["positive"]
        far, among = self.distance.of_positives(batch, d)
        nearest = (1.0 - sign * self.neg_eps) * batch.whole["negative"]
        pull = Term(self.distance.margin(far, farthest).relu().square(), among, kind="pos_pair")
        return {"pos_loss": pull, "neg_loss": _push(self.distance.margin(nearest, d), batch)}

    def _all(self, batch: Batch) -> Tensor:
        return batch.row["distances"] if "distances" in batch.row else self.distance(batch.anchors, batch.references)

    def _distances(self, part: Batch) -> dict[str, Term]:
        """Of positive and of negative pairs."""
        d = self._all(part)
        near, among = self.distance.of_positives(part, d)
        return {"positive": Term(near, among), "negative": Term(d, part.negatives)}

    def _sums_rows(self, batch: Batch) -> bool:
        """Whether the distances to negatives are summed as those to all, less some, without a matrix."""
        return self.distance.is_bilinear and "distances" not in batch.row and self.distance.lists_positives(batch)

    def _sums(self, part: Batch) -> dict[str, Term]:
        """The same of anchors against all references, where negatives are all of those but a few."""
        left_out = exclusion_of(part.negatives)
        if left_out is None:
            return self._distances(part)

        def sums() -> Tensor:
            prepared = self.distance.prepared(part.anchors), self.distance.prepared(part.references)
            d = self.distance.at(part.anchors, part.references, left_out.index)
            d = d if left_out.counts is None else d.masked_fill(~left_out.counts, 0.0)
            return product_with_sum(*prepared) - d.sum(1)

        def made() -> Term:
            return Term(self._all(part), part.negatives)

        numbers = len(part.references) - left_out.number
        negatives = SummedTerm(made, sums, numbers, part.anchors.numel(), "neg_pair")
        return {"positive": Term(*self.distance.of_positives(part)), "negative": negatives}


def _push(excess: Tensor, batch: Batch) -> Term:
    """The squares of what of the excess of negatives `[A, M]` is positive."""

    def made() -> Term:
        return Term(excess.relu().square(), batch.negatives, kind="neg_pair")

    if batch.negatives.dtype is not torch.bool:  # a pair may count more than once
        return made()
    sums, count = _Squares(batch.negatives), number(excess, batch.negatives)
    return SummedTerm(made, lambda: sums(excess), count, excess.numel(), "neg_pair")


class _Squares(Rowwise):
    """Σ relu(x)² over those entries of a row that count: `[A]`.

    Args:
        weight: bool `[A, M]`, which count.
    """

    keeps: ClassVar[bool] = True

    def __init__(self, weight: Tensor) -> None:
        self.which = Which(weight)

    def plain(self, values: Tensor) -> Tensor:
        return values.relu().square().masked_fill(~self.which.weight, 0.0).sum(1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        some = self._open(values, rows, self.scratch(values))
        found: Tensor = torch.linalg.vecdot(some, some)
        return found

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        self._open(values, rows, out).mul_((2.0 * gradient)[:, None])

    def value_and_derivative(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        some = self._open(values, rows, out)
        found: Tensor = torch.linalg.vecdot(some, some)
        some.mul_(2.0)
        return found

    def _open(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        """The positive entries that count, written to other memory."""
        return self.which.fill_(torch.clamp(values, min=0.0, out=out), rows, 0.0)
