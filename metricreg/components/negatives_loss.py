"""Sums of exponentials over the negatives of each anchor, of which half a symmetric comparison knows all.

A loss that is of an anchor, not of a pair, is not the same with the samples of a pair exchanged. But where it takes of
all negatives only the sum of their exponentials, each distance is still needed once for both of its samples: once to
add its exponential to the sums of both, and once more to differentiate those, when they are known. Two products in
all, instead of three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

from metricreg.batch import Batch
from metricreg.components import Loss
from metricreg.engine.leaves import mirrors, packed
from metricreg.engine.sweep import halves
from metricreg.engine.tiling import USE_DENSE, Tiles, check_sources, saved_by
from metricreg.engine.tracking import Block
from metricreg.errors import MetricregError
from metricreg.functional.cache import part, strips
from metricreg.functional.logsumexp import LogSumExp, which

NEGATIVES = "negatives"
SUMS = "sums over negatives, on and above the diagonal"
LOST = 1e-13
"""A part of a sum that may be lost."""
MOST = 0.25
"""The power of the largest number which sums may be, so that small gradients divided by them are not lost."""


class NegativesLoss(Loss):
    """A loss that takes of an anchor's negatives the log-sum-exp of what follows from their distances.

    A subclass implements `of_negatives`, and `terms` by `against_negatives`.
    """

    counts_repeated: ClassVar[bool] = False
    """Whether a negative that tuples repeat counts as often."""

    def of_negatives(self, which: Tensor) -> LogSumExp:
        """The log-sum-exp as a function of distances.

        Args:
            which: bool `[A, M]`, which of them count.
        """
        raise NotImplementedError

    def prepare(self, batch: Batch) -> Batch:
        """The log-sum-exps, as `row["negatives"]`, where half of a comparison is enough for them."""
        found = self.summed_once(batch)
        return batch if found is None else batch.standing_in(row={NEGATIVES: found})

    def summed_once(self, batch: Batch) -> Tensor | None:
        """The log-sum-exp of each anchor's negatives `[A]`, from half of a symmetric comparison, if it is one."""
        by = next(cls for cls in type(self).__mro__ if "terms" in vars(cls))
        if batch.tile is None or "of_negatives" not in vars(by):  # terms of someone else's, who may want all distances
            return None
        if not (self.distance.is_symmetric and mirrors(batch) and self.distance.lists_positives(batch)):
            return None
        return _Halves(self, batch.tile).logsumexp(batch)

    def against_negatives(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The log-sum-exp of each anchor's negatives `[A]`; distances to its positives `[A, K]`; which of those count.

        Args:
            batch: some anchors.
        """
        if NEGATIVES in batch.row:
            return batch.row[NEGATIVES], *self.distance.of_positives(batch)
        distances = self.distance(batch.anchors, batch.references)
        total = self.of_negatives(which(batch.negatives)).of(
            distances, batch.negatives if self.counts_repeated else which(batch.negatives)
        )
        return total, *batch.at_positives(distances)

    def width(self, batch: Batch) -> int:
        """M, or the sizes of the embeddings of the positives alone."""
        if NEGATIVES not in batch.row:
            return super().width(batch)
        return batch.positive_index[0].shape[1] * batch.anchors.shape[1]


class _Halves(Tiles):
    """The sums of a batch that is compared with itself.

    All exponentials are over one number, so that each is of use to both samples. That is the largest exponent of those
    that are looked at first, which is near enough to the largest of each anchor unless distances are far apart.

    Args:
        loss: whose they are.
        tile: anchors of the first run.
    """

    def __init__(self, loss: NegativesLoss, tile: int) -> None:
        super().__init__(tile, loss)
        self.distance, self.make = loss.distance, loss.of_negatives
        self.less: float | None = None
        self.shift = 0.0
        self.lowest: float | None = None

    def logsumexp(self, batch: Batch) -> Tensor | None:
        """The log-sum-exp of each anchor's negatives, `[A]`, -inf of none; None if exponents are too far apart."""
        held, inputs = self.inputs(batch)
        total: Tensor = _Sums.apply(self, batch, held, *inputs) if inputs else self.forward(batch, held)  # type: ignore[no-untyped-call]
        limits, found = torch.finfo(total.dtype), total.detach()
        if self.less is None or bool(((found < limits.tiny / LOST) | (found > limits.max**MOST)).any()):
            return None
        return total.log() + (self.less + self.shift)

    def forward(self, batch: Batch, held: Sequence[Tensor]) -> Tensor:
        """The sums of the exponentials over the one, `[A]`, without a graph."""
        total = torch.zeros(len(batch), dtype=torch.float64, device=batch.anchors.device)
        batch.list_once()
        with torch.no_grad(), self.tracking(batch, held, False) as tracking:
            for block in halves(len(batch), self.tile, SUMS):
                some = tracking.part(block)
                distances = self.distance(some.anchors, some.references)
                function = self.make(some.negatives)
                of_columns = distances.new_zeros(distances.shape[1])
                of_rows = []
                for rows in strips(distances):
                    values = part(distances, rows)
                    out = function.scratch(values)
                    if self.less is None:
                        self._look_at(function, values, rows, out)
                    powers = self._powers(function, values, rows, out)
                    of_rows.append(powers.sum(1))
                    if block.times == 2:
                        of_columns += powers.sum(0)
                total[block.anchors] += torch.cat(of_rows)
                if block.times == 2:
                    total[block.references] += of_columns
        return total.to(batch.anchors.dtype)

    def _look_at(self, function: LogSumExp, values: Tensor, rows: slice, out: Tensor) -> None:
        """Choose what exponentials are taken over; and limit them, if one may become too small to be made quickly."""
        limits = torch.finfo(values.dtype)
        function.write_exponents(values, out)
        least = float(out.amin())
        greatest = float(function.which.fill_(out, rows, limits.min).amax())
        if greatest <= limits.min:  # nothing counts here
            return
        lowest = 0.98 * math.log(limits.tiny)
        self.less, self.shift = greatest, function.shift
        self.lowest = None if least - greatest > lowest / 2.0 else lowest

    def backward(self, batch: Batch, held: Sequence[Tensor], upstream: Tensor) -> list[Tensor | None]:
        """The gradients of the inputs, by that of the sums."""
        batch.list_once()
        with self.tracking(batch, held, True) as tracking:
            for block in halves(len(batch), self.tile, SUMS):
                with torch.enable_grad():
                    some = tracking.part(block)
                    distances = self.distance(some.anchors, some.references)
                if block.anchors.start == 0:
                    check_sources([distances], tracking.current)
                if distances.requires_grad:
                    tracking.add(0, distances, self._slope(some, distances.detach(), block, upstream))
        return tracking.gradients().get(0, [None] * tracking.number)

    def _slope(self, some: Batch, distances: Tensor, block: Block, upstream: Tensor) -> Tensor:
        """The gradient of the distances of a block."""
        function = self.make(some.negatives)
        of_rows = upstream[block.anchors, None] * function.scale
        of_columns = upstream[None, block.references] * function.scale
        slope = torch.empty_like(distances)
        for rows in strips(distances):
            values, out = part(distances, rows), part(slope, rows)
            self._powers(function, values, rows, out)
            if block.times == 2:
                out.mul_(torch.add(of_rows[rows], of_columns, out=function.scratch(values)))
            else:
                out.mul_(of_rows[rows])
            function.times_steepness_(values, out)
        return slope

    def _powers(self, function: LogSumExp, values: Tensor, rows: slice, out: Tensor) -> Tensor:
        """The exponentials over the one, and 0 of what does not count."""
        function.write_exponents(values, out, self.less or 0.0)
        if self.lowest is not None:
            out.clamp_(min=self.lowest)
        out.exp_()
        return function.which.fill_(out, rows, 0.0)


class _Sums(torch.autograd.Function):
    """Leaves and parameters in, sums out."""

    @staticmethod
    def forward(ctx: Any, sums: _Halves, batch: Batch, held: list[Tensor], *inputs: Tensor) -> Tensor:
        total = sums.forward(batch, held)
        ctx.sums = sums
        tensors, ctx.rebuild = packed(batch)
        ctx.save_for_backward(*tensors, *held)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if is_legacy_batchedtensor(upstream):
            raise MetricregError("the tiled plan has no gradients of many at once (is_grads_batched); " + USE_DENSE)
        batch, held = ctx.rebuild(saved_by(ctx))
        with torch.autocast(batch.anchors.device.type, enabled=False):  # as in the forward pass
            return (None, None, None, *ctx.sums.backward(batch, held, upstream))
