"""Dynamic soft margin loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.summed_term import SummedTerm
from metricreg.batch.terms import Scalar, Term
from metricreg.batch.tuples import Pairs, Triplets
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.components.two_views import two_views
from metricreg.functional.cache import strips
from metricreg.functional.row_sums import number
from metricreg.functional.strips import Rowwise, Which


class DynamicSoftMarginLoss(Loss):
    r"""Weighs each triplet by the share of triplets that are easier, in place of a margin.

    $$\ell = F(v) \, v \qquad v = d(a, p) - d(a, n)$$

    F is the cumulative share up to v in a histogram of v, which is a running mean over the steps, this one included,
    and of the first step its own. It has no gradient, is part of the state, and stays as it is in evaluation mode.
    Values may be negative. Without labels or tuples, row i of the reference embeddings is the positive of row i, and
    the negative is the nearest that either has among the other rows, as in the paper; else all triplets count. Zhang
    and Rusinkiewicz 2019, "Learning Local Descriptors with a CDF-Based Dynamic Soft Margin".

    Args:
        min_val: where the histogram begins, under 0; it ends at minus that. Differences beyond count as at its ends.
        num_bins: how many bins of equal width; each difference is shared by the two edges of its bin.
        momentum: the share of a batch in the running histogram, 0 to 1.
    """

    histogram: Tensor

    def __init__(
        self,
        min_val: Annotated[float, Field(lt=0)] = -2.0,
        num_bins: Annotated[int, Field(gt=0)] = 10,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.01,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.min_val = min_val
        self.num_bins = num_bins
        self.momentum = momentum
        self.register_buffer("histogram", torch.zeros(num_bins + 1))

    def prepare(self, batch: Batch) -> Batch:
        """The histogram with this batch in it; and the triplets of rows that belong together, without labels."""
        if batch.selection is None and batch.anchor_labels is None:
            both = torch.cat(two_views(batch, "DynamicSoftMarginLoss without labels"))
            batch = Batch(both, both, selection=self._hardest(batch.anchors.detach(), batch.references.detach()))
        with torch.no_grad():
            histogram = self._moved(batch.map(self._counts).sum(0))
        return batch.replace(whole={"histogram": histogram})

    def terms(self, batch: Batch) -> Terms:
        """`loss`: `[A, K, M]`, or a list `[T]` where triplets are listed."""
        d = self.distance(batch.anchors, batch.references)
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            difference = self.distance.margin(d[rows, positive], d[rows, negative])
            return {"loss": Term(self._weighed(difference, batch), kind="triplet", rows=rows)}
        index, counts = batch.positive_index

        def made() -> Term:
            difference = self.distance.margin(d.gather(1, index)[:, :, None], d[:, None, :])
            weight = counts[:, :, None] * batch.negatives[:, None, :]
            return Term(self._weighed(difference, batch), weight, kind="triplet")

        if batch.selection is not None:
            return {"loss": made()}
        sums, numbers = _Sums(self, batch), counts.sum(1) * number(d, batch.negatives)
        return {"loss": SummedTerm(made, lambda: sums(d), numbers, d.numel(), "triplet")}

    def once(self, batch: Batch) -> Terms:
        """`histogram`: for the running one."""
        return {"histogram": Scalar((batch.whole["histogram"],))}

    def commit(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        """Keep the histogram."""
        if self.training:
            self.histogram.copy_(statistics["histogram"][0])

    def width(self, batch: Batch) -> int:
        """M values an anchor; K · M with pairs, where each triplet is made."""
        each = isinstance(batch.selection, Pairs)
        return len(batch.references) * (max(1, batch.positive_index[0].shape[1]) if each else 1)

    def _hardest(self, x: Tensor, y: Tensor) -> Triplets:
        """Of the rows of both views in one, each couple with the nearest that either of it has in the other view."""
        n, own = len(x), torch.arange(len(x), device=x.device)
        if n < 2:
            return Triplets(own[:0], own[:0], own[:0])
        of_x, of_y = (Batch(a, b, self_index=own).map(self._nearest) for a, b in ((x, y), (y, x)))
        turned = self.distance.margin(self.distance.pairwise(x, y[of_x]), self.distance.pairwise(y, x[of_y])) > 0.0
        anchor, positive = torch.where(turned, own + n, own), torch.where(turned, own, own + n)
        return Triplets.of(anchor, positive, torch.where(turned, of_y, of_x + n))

    def _nearest(self, part: Batch) -> Tensor:
        """The reference nearest to each row but for its own, `[A]`."""
        assert part.self_index is not None  # set in _hardest
        closeness = self.distance.closeness(self.distance(part.anchors, part.references))
        return closeness.scatter(1, part.self_index[:, None], -torch.inf).argmax(1)

    def place(self, difference: Tensor, out: Tensor | None = None) -> Tensor:
        """In units of a bin from the first edge on; without a gradient, and perhaps written to other memory."""
        place = torch.sub(difference.detach(), self.min_val, out=out)
        return place.mul_(self.num_bins / (-2.0 * self.min_val)).clamp_(0.0, float(self.num_bins))

    def weighed(self, difference: Tensor, cumulative: Tensor) -> Tensor:
        """Differences times the share of those that are smaller, by a cumulative histogram."""
        return cumulative[self.place(difference).nan_to_num(0.0).long()] * difference

    def _weighed(self, difference: Tensor, batch: Batch) -> Tensor:
        return self.weighed(difference, batch.whole["histogram"].cumsum(0))

    def _counts(self, part: Batch) -> Tensor:
        """Each anchor's histogram, `[A, num_bins + 1]`."""
        d = self.distance(part.anchors, part.references)
        total: Tensor = d.new_zeros(len(part), self.num_bins + 1)
        if isinstance(part.selection, Triplets):
            rows, positive, negative = part.selection.columns()
            place, ones = self.place(self.distance.margin(d[rows, positive], d[rows, negative])), torch.ones_like(rows)
            return self._filled(total.flatten(), place, ones, rows * total.shape[1]).view_as(total)
        index, counts = part.positive_index
        for strip in strips(d):
            some, negatives = d[strip], part.negatives[strip]
            for k in range(index.shape[1]):  # a positive of each anchor at a time, in the memory of the distances
                place = self.place(self.distance.margin(some.gather(1, index[strip, k : k + 1]), some))
                total[strip] = self._filled(total[strip], place, counts[strip, k : k + 1] * negatives)
        return total

    def _filled(self, total: Tensor, place: Tensor, counts: Tensor, start: Tensor | int = 0) -> Tensor:
        """A histogram with more in it, each shared by the two edges of its bin."""
        lower = place.floor().clamp(max=self.num_bins - 1.0)
        entry = start + lower.nan_to_num(0.0).long()
        for edge, share in ((entry, 1.0 - (place - lower)), (entry + 1, place - lower)):
            total = total.scatter_add(-1, edge, share * counts)
        return total

    def _moved(self, counts: Tensor) -> Tensor:
        """The running histogram after a batch that has these counts; as it was if there are none, or NaN."""
        before, total = self.histogram.to(counts.dtype), counts.sum()
        momentum = torch.where(before.sum() == 0.0, 1.0, self.momentum if self.training else 0.0).to(counts.dtype)
        moved = before.lerp(counts / total.where(total != 0.0, 1.0), momentum)
        return moved.where((total != 0.0) & total.isfinite(), before)


class _Sums(Rowwise):
    """Σ F(v) v over the triplets of each anchor, of its distances `[A, M]`.

    Args:
        loss: whose histogram it is.
        batch: without a selection.
    """

    keeps: ClassVar[bool] = True

    def __init__(self, loss: DynamicSoftMarginLoss, batch: Batch) -> None:
        self.loss, self.batch, self.negatives = loss, batch, Which(batch.negatives)
        self.cumulative = batch.whole["histogram"].cumsum(0)
        self.index, self.counts = batch.positive_index

    def plain(self, values: Tensor) -> Tensor:
        difference = self.loss.distance.margin(values.gather(1, self.index)[:, :, None], values[:, None, :])
        weight = self.counts[:, :, None] & self.negatives.weight[:, None, :]
        return self.loss.weighed(difference, self.cumulative).masked_fill(~weight, 0.0).sum((1, 2))

    def value(self, values: Tensor, rows: slice) -> Tensor:
        return self.value_and_derivative(values, rows, self.scratch(values, 3))

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        self.value_and_derivative(values, rows, out)
        out.mul_(gradient[:, None])

    def value_and_derivative(self, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        sign, total = self.loss.distance.sign, values.new_zeros(len(values))
        out.zero_()
        index, counts = self.index[rows], self.counts[rows]
        for k in range(index.shape[1]):
            column = index[:, k : k + 1]
            difference = torch.sub(values, values.gather(1, column), out=self.scratch(values)).mul_(sign)
            weight = self._weights(difference, rows).mul_(counts[:, k : k + 1])
            total += torch.linalg.vecdot(weight, difference)
            out.add_(weight, alpha=sign)
            out.scatter_add_(1, column, -sign * weight.sum(1, keepdim=True))
        return total

    def _weights(self, difference: Tensor, rows: slice) -> Tensor:
        """F of each triplet that counts, else 0."""
        place = self.scratch(difference, 1)
        entry = self.scratch(difference, 2, torch.int64)
        entry.copy_(self.loss.place(difference, place).nan_to_num_(0.0))
        torch.take(self.cumulative, entry, out=place)
        return self.negatives.fill_(place, rows, 0.0)
