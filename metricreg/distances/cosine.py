"""Cosine similarity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.components import Distance, symmetric
from metricreg.functional.products import inner_products
from metricreg.functional.safe import normalize_rows


class CosineSimilarity(Distance):
    r"""Cosine of the angle between embeddings, in [-1, 1]; larger means closer.

    $$s(x, y) = \left(\frac{\langle x, y \rangle}{\lVert x \rVert \lVert y \rVert}\right)^{\text{power}}$$

    The similarity with a zero embedding is 0.

    Args:
        power: exponent of the similarity, a whole number: similarities may be negative.
    """

    is_inverted: ClassVar[bool] = True

    def __init__(self, power: Annotated[int, Field(gt=0)] = 1) -> None:
        super().__init__(power)

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows; a zero row stays zero."""
        return normalize_rows(x)

    @symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Inner products of unit rows `[X, Y]`."""
        return inner_products(x, y)

    def value_range(self) -> tuple[float, float] | None:
        """-1 to 1."""
        is_own = (
            type(self).matrix is CosineSimilarity.matrix
            and type(self).prepare is CosineSimilarity.prepare
            and self._follows_matrix
        )
        return (-1.0, 1.0) if is_own else None
