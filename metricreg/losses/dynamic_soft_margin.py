"""Dynamic soft margin loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.batch.tuples import Triplets
from metricreg.batch.two_views import two_views
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.functional.masked import masked_argmax


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
        return batch.replace(shared={"histogram": histogram})

    def terms(self, batch: Batch) -> Terms:
        """`loss`: `[A, K, M]`, or a list `[T]` where triplets are listed."""
        d = self.distance.between(batch)
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            difference = self.distance.margin(d[rows, positive], d[rows, negative])
            return {"loss": Term(self._weighed(difference, batch), kind="triplet", rows=rows)}
        index, counts = batch.positive_index
        difference = self.distance.margin(d.gather(1, index)[:, :, None], d[:, None, :])
        weight = counts[:, :, None] * batch.negatives[:, None, :]
        return {"loss": Term(self._weighed(difference, batch), weight, kind="triplet")}

    def batch_terms(self, batch: Batch) -> Terms:
        """`histogram`: for the running one."""
        return {"histogram": Scalar((batch.shared["histogram"],))}

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        """Keep the histogram."""
        if self.training:
            self.histogram.copy_(statistics["histogram"][0])

    def width(self, batch: Batch) -> int:
        """K · M values an anchor; M where triplets are listed."""
        listed = isinstance(batch.selection, Triplets)
        return len(batch.references) * (1 if listed else max(1, batch.positive_index[0].shape[1]))

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
        closeness = self.distance.closeness(self.distance.between(part))
        others = torch.ones_like(closeness, dtype=torch.bool).scatter(1, part.self_index[:, None], False)
        return masked_argmax(closeness, others)

    def _place(self, difference: Tensor) -> Tensor:
        """In units of a bin from the first edge on; without a gradient."""
        place = (difference.detach() - self.min_val) * (self.num_bins / (-2.0 * self.min_val))
        return place.clamp(0.0, float(self.num_bins))

    def _weighed(self, difference: Tensor, batch: Batch) -> Tensor:
        """Differences times the share of those that are smaller."""
        cumulative = batch.shared["histogram"].cumsum(0)
        return cumulative[self._place(difference).nan_to_num(0.0).long()] * difference

    def _counts(self, part: Batch) -> Tensor:
        """Each anchor's histogram, `[A, num_bins + 1]`."""
        d = self.distance.between(part)
        total: Tensor = d.new_zeros(len(part), self.num_bins + 1)
        if isinstance(part.selection, Triplets):
            rows, positive, negative = part.selection.columns()
            place, ones = self._place(self.distance.margin(d[rows, positive], d[rows, negative])), torch.ones_like(rows)
            return self._filled(total.flatten(), place, ones, rows * total.shape[1]).view_as(total)
        index, counts = part.positive_index
        for k in range(index.shape[1]):  # a positive of each anchor at a time, in the memory of the distances
            place = self._place(self.distance.margin(d.gather(1, index[:, k : k + 1]), d))
            total = self._filled(total, place, counts[:, k : k + 1] * part.negatives)
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
