"""Lp distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components import Distance, symmetric
from metricreg.components.marks import follows_matrix
from metricreg.functional.euclidean import (
    EuclideanRows,
    augmented,
    euclidean,
    row_in_the_middle,
    squares_of_own_rows,
    squares_of_rows,
)
from metricreg.functional.safe import normalize_rows, safe_pow


class LpDistance(Distance):
    r"""Lp distance between (normalised) embeddings.

    $$d(x, y) = \lVert x - y \rVert_p^{\text{power}}$$

    With p = 2 it comes from the Gram matrix; where rows are so near to each other that this has too few digits, from
    their difference. At distance 0 the gradient is 0. Other p have no second derivative in torch.

    Args:
        p: the order of the norm, greater than 0; 1 is city block, 2 Euclidean. At most 16: of higher orders the powers
            of small differences vanish in float32.
        power: exponent of the distance, greater than 0; 2 with p = 2 gives squared Euclidean distances.
        normalize: scale each embedding to unit Lp norm first.
    """

    def __init__(
        self,
        p: Annotated[float, Field(gt=0, le=16)] = 2.0,
        power: Annotated[float, Field(gt=0)] = 1.0,
        normalize: bool = True,
    ) -> None:
        super().__init__(power)
        self.p = p
        self.normalize = normalize

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows, if `normalize`; a zero row stays zero."""
        return normalize_rows(x, self.p) if self.normalize else x

    @symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Lp distances `[X, Y]`."""
        if self.p == 2.0:
            return euclidean(x, y)
        if self.p <= 1.0:
            return torch.cdist(x, y, p=self.p)
        scale = _scale(x, y, self.p)
        return torch.cdist(x / scale, y / scale, p=self.p) * scale

    @follows_matrix
    def between(self, batch: Batch) -> Tensor:
        """Distances of the anchors of a batch to its references, `[A, M]`."""
        if self.p != 2.0 or type(self).matrix is not LpDistance.matrix or self._has_own_forward:
            return super().between(batch)
        if self.power == 2.0:
            return euclidean_between(batch, self, root=False)
        return safe_pow(euclidean_between(batch, self), self.power)

    def _distances(self, x: Tensor, y: Tensor) -> Tensor:
        if self.p == 2.0 and self.power == 2.0 and type(self).matrix is LpDistance.matrix:
            return euclidean(x, y, root=False)  # which has a second derivative where rows are equal
        return super()._distances(x, y)

    def value_range(self) -> tuple[float, float] | None:
        """0 to 2 to the power, if `normalize`."""
        is_own = (
            type(self).matrix is LpDistance.matrix and type(self).prepare is LpDistance.prepare and self._follows_matrix
        )
        return (0.0, 2.0**self.power) if self.normalize and self.p >= 1.0 and is_own else None


def euclidean_between(
    batch: Batch,
    distance: Distance,
    root: bool = True,
    linear: Callable[[Tensor], Tensor] | None = None,
    divisor: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Euclidean distances of what a distance prepares, of the anchors of a batch to its references, `[A, M]`.

    Args:
        batch: some anchors.
        distance: whose they are.
        root: whether they are the distances, or else their squares.
        linear: what differences are mapped by before their length is taken, `[..., D]` to `[..., E]`; if any.
        divisor: of prepared anchors `[A, D]`, by what their squared distances are divided, `[A, 1]`; by 1 if None.
    """
    if not len(batch.references):
        return batch.anchors @ batch.references.mT
    prepared = distance, distance.prepare
    rows = EuclideanRows(
        lambda: batch.prepared(*prepared),
        lambda j: batch.prepared_at(*prepared, j),
        batch.of_references((distance, "middle"), row_in_the_middle, prepared),
        linear,
        None if divisor is None else divisor(batch.prepared(*prepared)[0]),
        root,
    )
    if batch.is_self_comparison and divisor is None:
        x, _ = batch.prepared((distance, "centered"), rows.centered, prepared)
        return rows.distances(*squares_of_own_rows(x), batch.self_index)
    x, y = batch.prepared((distance, "augmented"), lambda x: augmented(rows.centered(x)), prepared)
    return rows.distances(*squares_of_rows(x, y, rows.divisor), batch.self_index)


@torch.no_grad()
def _scale(x: Tensor, y: Tensor, p: float) -> Tensor:
    """A power of 2 by which rows are divided, such that the powers of their differences neither overflow nor vanish.

    The largest are as large as can be: of high orders the powers of differences of ordinary size vanish.
    """
    limits = torch.finfo(x.dtype)
    if not (x.numel() and y.numel()):
        return x.new_ones(())
    largest = torch.maximum(x.abs().amax(), y.abs().amax()).nan_to_num().clamp(limits.tiny, limits.max)
    top = 0.25 * (limits.max / x.shape[-1]) ** (1.0 / p)
    return (largest.log2() - math.log2(top)).ceil().clamp(min=math.log2(limits.tiny)).exp2()
