"""Samples: anchors against references, and which pairs of them count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from metricreg.batch.labels import Matching
from metricreg.batch.listing import Runs
from metricreg.batch.positives import Pairing
from metricreg.batch.tuples import Selection
from metricreg.functional.observation import device_of

T = TypeVar("T")

LISTED = 256
"""References up to which masks take less time than lists of columns."""


@dataclass(frozen=True, eq=False)
class Samples:
    """What a `Batch` is of, and what follows from that; it is made when asked for, and kept. The fields are explained
    there.
    """

    anchors: Tensor
    references: Tensor
    anchor_labels: Tensor | None = None
    reference_labels: Tensor | None = None
    self_index: Tensor | None = None
    selection: Selection | None = None
    match: Matching | None = None
    weights: Tensor | None = None
    row: dict[str, Tensor] = field(default_factory=dict)
    whole: dict[str, Tensor] = field(default_factory=dict)
    _memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _of_references: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _lists: bool | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        """The number of anchors."""
        return self.anchors.shape[0]

    def _once(self, key: str, make: Callable[[], T]) -> T:
        # not functools.cached_property: its lock breaks torch.compile(fullgraph=True) on Python 3.11
        if key not in self._memo:
            self._memo[key] = make()
        value: T = self._memo[key]
        return value

    @property
    def _pairing(self) -> Pairing:
        labels = self.anchor_labels, self.reference_labels
        return self._once("pairing", lambda: Pairing(*labels, self.self_index, self.match, self._of_references))

    @property
    def positives(self) -> Tensor:
        """Which references are positives of which anchor, `[A, M]`: bool, or counts where a selection repeats pairs."""
        return self._once("positives", self._positives)

    def _positives(self) -> Tensor:
        if self.selection is not None:
            return self.selection.positives(len(self), len(self.references))
        return self._pairing.positives()

    @property
    def negatives(self) -> Tensor:
        """Which references are negatives of which anchor, `[A, M]`: bool, or counts where a selection repeats pairs."""
        return self._once("negatives", self._negatives)

    def _negatives(self) -> Tensor:
        if self.selection is not None:
            return self.selection.negatives(len(self), len(self.references))
        return self._pairing.negatives(self.lists_positives)

    @property
    def positive_index(self) -> tuple[Tensor, Tensor]:
        """Each anchor's positives as columns `[A, K]`, and which of those entries count, bool `[A, K]`.

        A pair that a selection repeats stands in as many columns. O(A·K) memory, from sorted labels; with a match, the
        memory of a tile besides. Finding K waits for the device, if it is one.
        """
        return self._once("positive_index", self._positive_index)

    def _positive_index(self) -> tuple[Tensor, Tensor]:
        if self.selection is None:
            return self._pairing.positive_index()
        keys, columns = self.selection.anchor, self.selection.positive
        return Runs.of(keys, columns, torch.arange(len(self), device=keys.device)).matrix()

    def list_once(self) -> None:
        """Make the lists that the pairs of this batch follow from for all anchors, if they are short."""
        single = self.anchor_labels is not None and self.anchor_labels.ndim == 1 and self.reference_labels is not None
        if single and self.match is None and self.lists_positives and self._pairing.list_once():
            self.positive_index  # noqa: B018 - kept, for the anchors of each tile

    @property
    def lists_positives(self) -> bool:
        """Whether what is only about positives looks at K columns, not at M.

        Not with a selection, of few references, on a GPU, where finding K would wait, or when compiling, where K is no
        number.
        """
        if self._lists is not None:
            return self._lists
        if self.selection is not None or torch.compiler.is_compiling():
            return False
        return self.references.shape[0] > LISTED and device_of(self.anchors) == "cpu"

    def at_positives(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Of values `[A, M]`, or `[1, M]`, those of positives, `[A, K]`, and which of them count, in their shape.

        Where positives are not listed, all of them, and `positives`.
        """
        if not self.lists_positives:
            return values, self.positives
        index, counts = self.positive_index
        return (values.gather(1, index) if len(values) == len(self) else values[0][index]), counts

    def _knows(self, of_references: dict[str, Any]) -> None:
        object.__setattr__(self, "_of_references", of_references)
