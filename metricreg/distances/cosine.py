"""Cosine similarity."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components import Distance, symmetric
from metricreg.functional.angles import sines
from metricreg.functional.products import inner_products
from metricreg.functional.safe import normalize_rows
from metricreg.functional.torch_internals import needs_plain_operations


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
        return (-1.0, 1.0) if self.is_plain else None

    @property
    def is_plain(self) -> bool:
        """Whether it is what this class makes of an angle, but for the power."""
        return (
            type(self).matrix is CosineSimilarity.matrix
            and type(self).prepare is CosineSimilarity.prepare
            and self._follows_matrix
        )


def sines_between(
    distance: Distance, batch: Batch, cosine: Tensor, columns: Tensor | None, among: Tensor | None = None
) -> Tensor:
    """The sines of angles by their cosines, `[A, K]`, with all digits where an angle is near 0 or 180 degrees.

    Args:
        distance: whose the cosines are; of somebody else's no more is known than they say.
        batch: some anchors.
        cosine: those to some references, `[A, K]`.
        columns: which references, `[A, K]`; all, in their order, if None.
        among: which of the cosines count, `[A, K]`; all if None.
    """

    def rows(row: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        column = place if columns is None else columns[row, place]
        return distance.prepare(batch.anchors[row]), distance.prepare(batch.references[column])

    gives_cosines = isinstance(distance, CosineSimilarity) and distance.power == 1.0 and distance.is_plain
    too_many = columns is None and needs_plain_operations(cosine)  # which would make the rows of all pairs
    return sines(cosine, rows if gives_cosines and not too_many else None, among)
