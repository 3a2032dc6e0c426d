"""Selectively contrastive triplet loss."""

from __future__ import annotations

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
        noise = _noise(s)
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            far, noise = s[rows, negative], noise[rows, 0]
            ahead = far - s[rows, positive]
            nearer = ahead > noise
            if _has_wider(s):
                some = ((ahead > -noise) & ~nearer).nonzero()[:, 0]
                nearer[some] = self._nearer(batch, noise[some], rows[some], positive[some], negative[some])
            return {"loss": Term(self._cost(ahead, far, nearer), kind="triplet", rows=rows)}
        index, counts = batch.positive_index
        weight = counts[:, :, None] * batch.negatives[:, None, :]
        far = s[:, None, :]
        ahead = far - s.gather(1, index)[:, :, None]
        nearer = ahead > noise[:, None]
        if _has_wider(s):
            unsure = (ahead > -noise[:, None]).logical_xor_(nearer).logical_and_(weight)
            row, k, negative = unsure.nonzero(as_tuple=True)
            nearer[row, k, negative] = self._nearer(batch, noise[row, 0], row, index[row, k], negative)
        return {"loss": Term(self._cost(ahead, far, nearer), weight, kind="triplet")}

    def width(self, batch: Batch) -> int:
        """K · M values an anchor; M where triplets are listed."""
        listed = isinstance(batch.selection, Triplets)
        return len(batch.references) * (1 if listed else max(1, batch.positive_index[0].shape[1]))

    @torch.no_grad()
    def _nearer(self, batch: Batch, noise: Tensor, row: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Whether a negative is nearer than a positive, `[T]`, by similarities in float64.

        Args:
            batch: some anchors.
            noise: by how much similarities may be wrong as they are, `[T]`.
            row: which anchor, `[T]`.
            positive: which reference, `[T]`.
            negative: which other, `[T]`.
        """
        if not len(row):
            return row > 0
        wide = wide_type(batch.anchors)
        rows, row = _used(row, len(batch))
        columns, column = _used(torch.cat([positive, negative]), len(batch.references))
        state = {**dict(self.distance.named_parameters()), **dict(self.distance.named_buffers())}
        state = {name: value.to(wide) if value.is_floating_point() else value for name, value in state.items()}
        given = batch.anchors[rows].to(wide), batch.references[columns].to(wide)
        t = self.distance.closeness(torch.func.functional_call(self.distance, state, given))
        near, far = column.chunk(2)
        finer = torch.finfo(wide).eps / torch.finfo(noise.dtype).eps
        return t[row, far] - t[row, near] > noise * finer

    def _cost(self, ahead: Tensor, negative: Tensor, nearer: Tensor) -> Tensor:
        return torch.where(nearer, self.hard_weight * negative, softplus(ahead / self.temperature))


def _used(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """What an index of so many things names, and where among those each of its entries is."""
    used = torch.zeros(count, dtype=torch.bool, device=index.device).index_fill_(0, index, True)
    return used.nonzero()[:, 0], (used.cumsum(0) - 1)[index]


def _has_wider(s: Tensor) -> bool:
    """Whether there is a more exact type to ask, and a way to ask only where it is needed."""
    return s.dtype != wide_type(s) and not needs_plain_operations(s)


@torch.no_grad()
def _noise(s: Tensor) -> Tensor:
    """By how much similarities `[A, M]` may be wrong, `[A, 1]`."""
    largest = s.abs().amax(1, keepdim=True) if s.shape[1] else s.new_zeros(len(s), 1)
    return largest * (RESOLUTION * torch.finfo(s.dtype).eps)
