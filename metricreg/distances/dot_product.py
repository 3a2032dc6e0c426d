"""Dot product similarity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.components import Distance, symmetric
from metricreg.functional.products import inner_products
from metricreg.functional.safe import normalize_rows


class DotProductSimilarity(Distance):
    r"""Inner product of (normalised) embeddings; larger means closer.

    $$s(x, y) = \langle x, y \rangle^{\text{power}}$$

    Args:
        normalize: scale each embedding to unit length first, which makes it the cosine.
        power: exponent of the similarity, a whole number: similarities may be negative.
    """

    is_inverted: ClassVar[bool] = True

    def __init__(self, normalize: bool = True, power: Annotated[int, Field(gt=0)] = 1) -> None:
        super().__init__(power)
        self.normalize = normalize

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows, if `normalize`; a zero row stays zero."""
        return normalize_rows(x) if self.normalize else x

    @symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Inner products `[X, Y]`."""
        return inner_products(x, y)

    def value_range(self) -> tuple[float, float] | None:
        """-1 to 1, if `normalize`."""
        is_own = (
            type(self).matrix is DotProductSimilarity.matrix
            and type(self).prepare is DotProductSimilarity.prepare
            and self._follows_matrix
        )
        return (-1.0, 1.0) if self.normalize and is_own else None
