"""Distance: how far, or how similar, two embeddings are."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components.component import Component, origin
from metricreg.engine.operands import listed_rows, once_a_sweep
from metricreg.errors import MetricregError
from metricreg.functional.safe import raised

FEW = 2
"""Distances to positives are made by themselves where their embeddings have so many times fewer entries than there are
references."""


class Distance(Component):
    """All distances between two sets of embeddings, as a matrix.

    A subclass implements `matrix`, and `prepare` where something is done once to each embedding, such as
    normalising. A similarity sets `is_inverted = True`.

    Args:
        power: exponent that is applied to each entry of the matrix.
    """

    kind: ClassVar[str] = "distance"
    is_inverted: ClassVar[bool] = False
    """Whether larger means closer, as in a similarity."""

    is_symmetric: ClassVar[bool] = False
    """Whether a pair has the same distance with its embeddings exchanged. False promises nothing, and costs time."""

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        self.power = power

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Forget promises and shortcuts that are about the distances of another class."""
        super().__init_subclass__(**keywords)
        matrix, forward = origin(cls, "matrix"), origin(cls, "forward")
        if min(matrix, forward, origin(cls, "prepare")) < origin(cls, "is_symmetric"):
            cls.is_symmetric = False
        if min(matrix, forward) < origin(cls, "is_bilinear"):
            cls.is_bilinear = Distance.is_bilinear  # type: ignore[method-assign]
        if forward <= matrix and forward < origin(cls, "at"):
            cls.at = Distance._at_by_forward  # type: ignore[method-assign]
        for shortcut in ("forward", "at", "matrix_at", "paired"):
            if matrix < origin(cls, shortcut):
                setattr(cls, shortcut, getattr(Distance, shortcut))

    def prepare(self, x: Tensor) -> Tensor:
        """What is done once to each embedding `[N, D]`, before any comparison."""
        return x

    def prepared(self, x: Tensor) -> Tensor:
        """`prepare`, done once for all tiles where x is the references of a batch, or rows of them."""
        return once_a_sweep((self, "prepared"), x, self.prepare)

    @abstractmethod
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of prepared embeddings, `[..., X, D]` and `[..., Y, D]` to `[..., X, Y]`, before `power`."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Distances between the rows of x `[X, D]` and of y `[Y, D]` (x itself if None): `[X, Y]`."""
        prepared = self.prepared(x)
        other = prepared if y is None or y is x else self.prepared(y)
        return raised(self._matrix(prepared, other), self.power)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each row of x `[N, D]` to the same row of y `[N, D]`: `[N]`."""
        return raised(self.paired(self.prepare(x), self.prepare(y)), self.power)

    def paired(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each prepared row of x `[N, D]` to the same row of y `[N, D]`, before `power`: `[N]`."""
        return self._matrix(x[:, None], y[:, None])[:, 0, 0]

    def of_positives(self, batch: Batch, distances: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The distances of anchors to their positives, `[A, K]`, and which of them count.

        As `Batch.at_positives` of the matrix; where an anchor has few, they are made by themselves, so that their
        gradient takes no product of matrices.

        Args:
            batch: some anchors.
            distances: of those to all references, `[A, M]`, if they are there.
        """
        if not self.lists_positives(batch):
            return batch.at_positives(self(batch.anchors, batch.references) if distances is None else distances)
        index, counts = batch.positive_index
        return self.at(batch.anchors, batch.references, index), counts

    def lists_positives(self, batch: Batch) -> bool:
        """Whether the distances of anchors to their positives are made by themselves."""
        if not batch.lists_positives:
            return False
        return batch.positive_index[0].shape[1] * batch.anchors.shape[1] * FEW <= len(batch.references)

    def at(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """Distances of each row of x `[X, D]` to those rows of y `[Y, D]` that `index [X, K]` lists: `[X, K]`."""
        return raised(self.matrix_at(self.prepared(x), self.prepared(y), index), self.power)

    def _at_by_forward(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        found: Tensor = self(x, y).gather(1, index)
        return found

    def matrix_at(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """The entries of `matrix` at the columns `index [X, K]`."""
        return self._matrix(x[:, None], listed_rows(y, index))[:, 0]

    def _matrix(self, x: Tensor, y: Tensor) -> Tensor:
        found = self.matrix(x, y)
        if found.shape != (*x.shape[:-1], y.shape[-2]):
            raise MetricregError(
                f"{type(self).__name__}.matrix made {list(found.shape)} of {list(x.shape)} and {list(y.shape)}; "
                f"expected {[*x.shape[:-1], y.shape[-2]]}: of [..., X, D] and [..., Y, D] it makes [..., X, Y]"
            )
        return found

    @property
    def is_subtracted(self) -> bool:
        """Whether `margin` is a difference of distances, as it is unless a class makes something else of it."""
        return type(self).margin is Distance.margin

    @property
    def is_bilinear(self) -> bool:
        """Whether this is the inner product of prepared embeddings, and nothing else; False promises nothing."""
        return False

    @property
    def sign(self) -> float:
        """1 for a similarity, -1 for a distance: its factor as a closeness."""
        return 1.0 if self.is_inverted else -1.0

    def margin(self, x: Tensor | float, y: Tensor | float) -> Tensor:
        """By how much x is farther than y: x - y of distances, y - x of similarities."""
        difference = y - x if self.is_inverted else x - y
        return torch.as_tensor(difference)

    def closeness(self, values: Tensor) -> Tensor:
        """Values of this distance as similarities, larger for closer: those of a distance with their sign turned."""
        return values if self.is_inverted else -values

    def nearest(self, x: Tensor, y: Tensor) -> Tensor:
        """The closer of two, entry by entry."""
        return torch.maximum(x, y) if self.is_inverted else torch.minimum(x, y)
