"""Dot product similarity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.components import Distance
from metricreg.engine.operands import product
from metricreg.functional.safe import unit_rows


class DotProductSimilarity(Distance):
    r"""Inner product of (normalised) embeddings; larger means closer.

    $$s(x, y) = \langle x, y \rangle^{\text{power}}$$

    Args:
        normalize: scale each embedding to unit length first, which makes it the cosine.
        power: exponent of the similarity, a whole number: similarities may be negative.
    """

    is_inverted: ClassVar[bool] = True
    is_symmetric: ClassVar[bool] = True

    def __init__(self, normalize: bool = True, power: Annotated[int, Field(gt=0)] = 1) -> None:
        super().__init__(power)
        self.normalize = normalize

    @property
    def is_bilinear(self) -> bool:
        """With a power of 1."""
        return self.power == 1

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows, if `normalize`; a zero row stays zero."""
        return unit_rows(x) if self.normalize else x

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Inner products `[X, Y]`."""
        return product(x, y)

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Inner product of each prepared row of x `[N, D]` and the same row of y `[N, D]`, before `power`: `[N]`."""
        return (x * y).sum(-1)
