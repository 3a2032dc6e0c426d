"""Distance: how far, or how similar, two embeddings are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypedDict

import torch
from pydantic import Field
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from metricreg.batch import Batch
from metricreg.batch.inputs import check_call
from metricreg.components.component import Component
from metricreg.components.marks import follows_matrix, has_mark, symmetric
from metricreg.errors import MetricregError
from metricreg.functional.precision import at_least_float32, full_precision
from metricreg.functional.safe import safe_pow
from metricreg.functional.torch_internals import transforms_active

ELEMENTWISE_VALUES = 16
"""Values a pair up to which a distance is a formula of each pair, and does not broadcast."""


class DistanceSlots(TypedDict, total=False):
    """What every distance takes besides its own parameters."""

    power: Annotated[float, Field(default=1.0, gt=0)]


class Distance(Component):
    """All distances between two sets of embeddings, as a matrix.

    A subclass implements `matrix`, and `prepare` where something is done once to each embedding, such as normalising.
    A similarity sets `is_inverted = True`. Where a pair has the same distance with its embeddings exchanged, mark
    `matrix` with `@metricreg.symmetric`: half of the pairs of a batch are then enough for some losses.

    Args:
        power: exponent that is applied to each entry of the matrix, greater than 0.
    """

    kind: ClassVar[str] = "distance"
    is_inverted: ClassVar[bool] = False
    """Whether larger means closer, as in a similarity."""

    def __init__(self, power: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.power = power

    def prepare(self, x: Tensor) -> Tensor:
        """What is done once to each embedding `[N, D]`, before any comparison."""
        return x

    @abstractmethod
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of prepared embeddings, `[..., X, D]` and `[..., Y, D]` to `[..., X, Y]`, before `power`."""

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """As `forward`, for which see."""
        check_call(args, keywords, 2, "a distance takes two sets of embeddings", {"query_emb": "x", "ref_emb": "y"})
        return super().__call__(*args, **keywords)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Distances between the rows of x `[X, D]` and of y `[Y, D]` (x itself if None): `[X, Y]`.

        Half precision is computed in float32.
        """
        with full_precision(x.device.type):
            prepared = self.prepare(at_least_float32(x))
            other = prepared if y is None or y is x else self.prepare(at_least_float32(y))
            return self._distances(prepared, other)

    @follows_matrix
    def between(self, batch: Batch) -> Tensor:
        """Distances of the anchors of a batch to its references, `[A, M]`.

        What `prepare` makes of the references is made once for all tiles of a step.
        """
        if self._has_own_forward:
            found: Tensor = self(batch.anchors, batch.references)
            return found
        return self._distances(*batch.prepared(self, self.prepare))

    def to_positives(self, batch: Batch, distances: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The distances of anchors to their positives, `[A, K]`, and which of them count.

        As `Batch.at_positives` of the matrix; where an anchor has few, they are made by themselves, so that their
        gradient takes no product of matrices.

        Args:
            batch: some anchors.
            distances: of those to all references, `[A, M]`, if they are there.
        """
        if not self.makes_positives_alone(batch):
            return batch.at_positives(self.between(batch) if distances is None else distances)
        index, valid = batch.positive_index
        return self._listed(batch, index), valid

    def at_columns(self, batch: Batch, distances: Tensor, index: Tensor) -> Tensor:
        """Of the distances of a batch `[A, M]`, those at some columns `[A, K]`, few of which are made anew."""
        if batch.lists_positives and self._follows_matrix:
            return self._listed(batch, index)
        return distances.gather(1, index)

    def _listed(self, batch: Batch, index: Tensor) -> Tensor:
        x, y = batch.prepared_at(self, self.prepare, index)
        return self._distances(x[:, None], y)[:, 0]

    def makes_positives_alone(self, batch: Batch) -> bool:
        """Whether the distances of anchors to their positives are made by themselves."""
        return self._follows_matrix and batch.has_few_positives

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Distance of each row of x `[N, D]` to the same row of y `[N, D]`: `[N]`."""
        with full_precision(x.device.type):
            x, y = self.prepare(at_least_float32(x)), self.prepare(at_least_float32(y))
            return self._distances(x[:, None], y[:, None])[:, 0, 0]

    def value_range(self) -> tuple[float, float] | None:
        """The least and the greatest value it can have, up to rounding; None if there are none that it knows."""
        return None

    def values_per_pair(self, x: Tensor) -> int:
        """How many values a batch's distances take at a time for each that is made: 1, or D if they broadcast.

        Measured once, on a few rows.

        Args:
            x: `[N, D]`, embeddings like those to compare.
        """
        known: dict[int, int] = self.__dict__.setdefault("_values_per_pair", {})
        size = x.shape[1]
        if size not in known:
            known[size] = 1 if transforms_active() else self._measured_values(x)
        return known[size]

    def _measured_values(self, x: Tensor) -> int:
        """By the largest tensor that torch makes for 8 rows, and for 16: of pairs it has four times as many values."""
        rows = torch.rand(2, 16, x.shape[1], generator=torch.Generator().manual_seed(0)).to(x)
        try:
            few, more = (_largest(self.between, Batch(rows[0, :k], rows[1, :k])) for k in (8, 16))
        except Exception:  # which the step itself will raise, and say
            return 1
        many = more // 16**2
        return many if more >= 3 * few and many > ELEMENTWISE_VALUES else 1

    @property
    def is_symmetric(self) -> bool:
        """Whether `matrix` is promised to be symmetric, and nothing else makes the distances."""
        return has_mark(self.matrix, symmetric) and self._follows_matrix

    @property
    def _follows_matrix(self) -> bool:
        """Whether the distances of a batch are what `matrix` makes of what `prepare` makes, and nothing else."""
        return not self._has_own_forward and has_mark(type(self).between, follows_matrix)

    @property
    def _has_own_forward(self) -> bool:
        return type(self).forward is not Distance.forward

    def _distances(self, x: Tensor, y: Tensor) -> Tensor:
        """What `matrix` makes, to the power."""
        return safe_pow(self._matrix(x, y), self.power)

    def _matrix(self, x: Tensor, y: Tensor) -> Tensor:
        found = self.matrix(x, y)
        if found.shape != (*x.shape[:-1], y.shape[-2]):
            raise MetricregError(
                f"{type(self).__name__}.matrix made {list(found.shape)} of {list(x.shape)} and {list(y.shape)}; "
                f"expected {[*x.shape[:-1], y.shape[-2]]}: of [..., X, D] and [..., Y, D] it makes [..., X, Y]"
            )
        return found

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


def _largest(make: Callable[[Batch], Tensor], batch: Batch) -> int:
    """How many values the largest tensor has that a function makes of a batch."""
    with torch.no_grad(), _Largest() as seen:  # type: ignore[no-untyped-call]
        make(batch)
    return int(seen.numel)


class _Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, Tensor) and not found.is_nested:
            self.numel = max(self.numel, found.untyped_storage().nbytes() // found.element_size())
        return found
