"""Selectively contrastive triplet loss."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.batch.tuples import Triplets
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.functional.euclidean import wide_type
from metricreg.functional.logsumexp import softplus
from metricreg.functional.torch_internals import needs_plain_operations

RESOLUTION = 16.0
"""A negative that is nearer than the positive by less than this many rounding errors is as near, or nobody knows."""


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

    default_distance = CosineSimilarity

    def __init__(
        self,
        hard_weight: Annotated[float, Field(ge=0)] = 1.0,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.hard_weight = hard_weight
        self.temperature = temperature

    def terms(self, batch: Batch) -> Terms:
        """`loss`: `[A, K, M]`, or a list `[T]` where triplets are listed."""
        s = self.distance.closeness(self.distance.between(batch))
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            near, far = s[rows, positive], s[rows, negative]
            ahead, noise = far - near, _noise(s)[rows, 0]
            nearer = ahead > noise
            if _has_wider(s) and len(some := (ahead.detach().abs() <= noise).nonzero()[:, 0]):
                anchors, row = rows[some].unique(return_inverse=True)  # type: ignore[no-untyped-call]
                t = self._in_float64(batch, anchors)
                nearer[some] = t[row, negative[some]] - t[row, positive[some]] > _noise(t)[row, 0]
            return {"loss": Term(self._cost(ahead, far, nearer), kind="triplet", rows=rows)}
        index, counts = batch.positive_index
        weight = counts[:, :, None] * batch.negatives[:, None, :]
        near, far, noise = s.gather(1, index)[:, :, None], s[:, None, :], _noise(s)[:, None]
        ahead = far - near
        nearer = ahead > noise
        if _has_wider(s) and ahead.numel() and len(some := _unsure(batch, s, near, noise)):
            t = self._in_float64(batch, some)
            nearer[some] = t[:, None, :] - t.gather(1, index[some])[:, :, None] > _noise(t)[:, None]
        return {"loss": Term(self._cost(ahead, far, nearer), weight, kind="triplet")}

    def width(self, batch: Batch) -> int:
        """K · M values an anchor; M where triplets are listed."""
        listed = isinstance(batch.selection, Triplets)
        return len(batch.references) * (1 if listed else max(1, batch.positive_index[0].shape[1]))

    @torch.no_grad()
    def _in_float64(self, batch: Batch, some: Tensor) -> Tensor:
        """The similarities of some anchors, `[R, M]`."""
        wide = wide_type(batch.anchors)
        state = {**dict(self.distance.named_parameters()), **dict(self.distance.named_buffers())}
        state = {name: value.to(wide) if value.is_floating_point() else value for name, value in state.items()}
        rows = batch.anchors[some].to(wide), batch.references.to(wide)
        return self.distance.closeness(torch.func.functional_call(self.distance, state, rows))

    def _cost(self, ahead: Tensor, negative: Tensor, nearer: Tensor) -> Tensor:
        return torch.where(nearer, self.hard_weight * negative, softplus(ahead / self.temperature))


def _has_wider(s: Tensor) -> bool:
    """Whether there is a more exact type to ask, and a way to ask only where it is needed."""
    return s.dtype != wide_type(s) and not needs_plain_operations(s)


@torch.no_grad()
def _noise(s: Tensor) -> Tensor:
    """By how much similarities `[A, M]` may be wrong, `[A, 1]`."""
    largest = s.abs().amax(1, keepdim=True) if s.shape[1] else s.new_zeros(len(s), 1)
    return largest * (RESOLUTION * torch.finfo(s.dtype).eps)


@torch.no_grad()
def _unsure(batch: Batch, s: Tensor, near: Tensor, noise: Tensor) -> Tensor:
    """The anchors with a negative of which nobody knows whether it is nearer than a positive.

    Args:
        batch: some anchors.
        s: their similarities, `[A, M]`.
        near: those to the positives, `[A, K, 1]`.
        noise: by how much they may be wrong, `[A, 1, 1]`.
    """
    counts = batch.positive_index[1][:, :, None]
    negative = batch.negative_mask.filled(s, math.inf)[:, None, :]
    gaps = (negative - near.masked_fill(counts == 0, -math.inf)).abs_()
    return (gaps.amin((1, 2)) <= noise[:, 0, 0]).nonzero()[:, 0]
