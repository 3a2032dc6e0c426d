"""What losses share that take of an anchor's negatives the log-sum-exp of what follows from their distances.

Such a loss is of an anchor, not of a pair, and so not the same with the samples of a pair exchanged. But each
exponential is of use to both its samples: half of a symmetric comparison is enough for all sums. That is two products
of matrices in all, instead of three, and one exponential for two anchors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components.check_promises import check_exponents
from metricreg.components.distance import Distance
from metricreg.components.loss import Loss
from metricreg.components.marks import has_mark, takes_only_logsumexp
from metricreg.functional.logsumexp import Scale, logsumexp, masked_exp, weighted_logsumexp

NEGATIVES = "negatives"
ROOM = 0.85
"""The part of the range of exponents that is used: the rest is for sums, and for gradients divided by them."""


Exponents = tuple[Tensor, Scale, float]
"""x, a scale and a shift, for scale · x + shift."""


class LogSumExpLoss(Loss):
    """A loss that takes of an anchor's negatives the log-sum-exp of what follows from their distances.

    A subclass implements `exponents`, and `terms` by `logsumexp_and_positives`, marked `@takes_only_logsumexp`.
    """

    counts_repeated: ClassVar[bool] = False
    """Whether a negative that tuples repeat counts as often."""

    def exponents(self, distances: Tensor) -> Exponents:
        """What the exponentials are of, of each entry by itself."""
        raise NotImplementedError

    def prepare(self, batch: Batch) -> Batch:
        """The log-sum-exps, as `per_anchor["negatives"]`, where half of a comparison is enough for them."""
        found = self.logsumexp_by_halves(batch)
        return batch if found is None else batch.with_tensors(per_anchor={**batch.per_anchor, NEGATIVES: found})

    def logsumexp_by_halves(self, batch: Batch) -> Tensor | None:
        """The log-sum-exp of each anchor's negatives `[A]`, from half of a symmetric comparison; None if it is none.

        All exponentials are over the same number, so that each is of use to both its samples; which is exact where the
        distance bounds them well enough.
        """
        if batch.tile is None or not (self.distance.is_symmetric and batch.is_symmetric_comparison):
            return None
        if not has_mark(self.terms, takes_only_logsumexp):  # someone else's, who may want all distances
            return None
        if type(self).logsumexp is not LogSumExpLoss.logsumexp:
            return None
        bounds = self._bounds(batch.anchors.dtype)
        if bounds is None or not self.distance.makes_positives_alone(batch):
            return None
        check_exponents(self, batch)
        middle = (bounds[0] + bounds[1]) / 2.0

        def powers(part: Batch) -> Tensor:
            x, scale, shift = self.exponents(self.distance.between(part))
            return masked_exp(x, part.negative_mask, scale, shift - middle)

        sums = batch.pair_sums(powers)
        none = sums == 0.0
        return sums.masked_fill(none, 1.0).log().masked_fill(none, -torch.inf) + middle

    def scaled_exponents(self, distances: Tensor) -> Tensor:
        """The exponents, put together."""
        x, scale, shift = self.exponents(distances)
        return scale * x + shift

    def _bounds(self, dtype: torch.dtype) -> tuple[float, float] | None:
        return exponent_bounds(self.distance, self.exponents, dtype)

    def logsumexp_and_positives(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The log-sum-exp of each anchor's negatives `[A]`; distances to its positives `[A, K]`; which of those count.

        Args:
            batch: some anchors.
        """
        if NEGATIVES in batch.per_anchor:
            return batch.per_anchor[NEGATIVES], *self.distance.to_positives(batch)
        distances = self.distance.between(batch)
        return self.logsumexp(distances, batch), *batch.at_positives(distances)

    def logsumexp(self, distances: Tensor, batch: Batch) -> Tensor:
        """The log-sum-exp of each anchor's negatives `[A]`, by the distances of a batch `[A, M]`."""
        x, scale, shift = self.exponents(distances)
        if self.counts_repeated and batch.selection is not None:
            return weighted_logsumexp(x, batch.negatives, scale, shift)
        return logsumexp(x, batch.negative_mask, scale, shift)

    def width(self, batch: Batch) -> int:
        """M, or the sizes of the embeddings of the positives alone."""
        if NEGATIVES not in batch.per_anchor:
            return super().width(batch)
        return max(1, batch.positive_index[0].shape[1] * batch.anchors.shape[1])


def exponent_bounds(
    distance: Distance, exponents: Callable[[Tensor], Exponents], dtype: torch.dtype
) -> tuple[float, float] | None:
    """The least and the greatest exponent, if they are known, and near enough for sums of exponentials in a type.

    Args:
        distance: what exponents follow from.
        exponents: as of `LogSumExpLoss`.
        dtype: the type.
    """
    known = distance.value_range()
    if known is None:
        return None
    x, scale, shift = exponents(torch.linspace(*known, 257, dtype=torch.float64))
    if isinstance(scale, Tensor):
        if scale.device.type != "cpu":  # which would have to be waited for
            return None
        scale = float(scale.detach())
    found = scale * x + shift
    least, greatest = float(found.min()), float(found.max())
    return (least, greatest) if greatest - least <= 2.0 * ROOM * math.log(torch.finfo(dtype).max) else None
