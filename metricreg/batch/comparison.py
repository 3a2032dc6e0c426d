"""Anchors against references, and which pairs of them count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from metricreg.batch.inputs import nan_if_not_finite
from metricreg.batch.labels import Matching
from metricreg.batch.positives import PaddedIndex, Pairing
from metricreg.batch.tuples import Selection
from metricreg.functional.masked import Mask

T = TypeVar("T")
FEW_POSITIVES_RATIO = 2
"""Times more distances than entries of the embeddings of positives, where those are looked at by themselves."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a `Batch` is of, and which pairs count, made when asked for and kept. The fields are explained there."""

    anchors: Tensor
    references: Tensor
    anchor_labels: Tensor | None = None
    reference_labels: Tensor | None = None
    self_index: Tensor | None = None
    selection: Selection | None = None
    match: Matching | None = None
    weights: Tensor | None = None
    per_anchor: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, Tensor] = field(default_factory=dict)
    _memo: dict[str, Any] = field(default_factory=dict, init=False, repr=False)
    _diagonal: bool = field(default=False, init=False, repr=False)  # self_index is 0, 1, ..., known without a look
    _lists: bool | None = field(default=None, init=False, repr=False)
    _few: bool | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        """The number of anchors."""
        return self.anchors.shape[0]

    def _once(self, key: str, make: Callable[[], T]) -> T:
        # not functools.cached_property: its lock breaks torch.compile(fullgraph=True) on Python 3.11
        if key not in self._memo:
            self._memo[key] = make()
        value: T = self._memo[key]
        return value

    # -- which pairs count --------------------------------------------------------------------------------------------

    @property
    def is_self_comparison(self) -> bool:
        """Whether the anchors are the references."""
        return self.anchors is self.references

    @property
    def is_symmetric_comparison(self) -> bool:
        """Whether each pair is there a second time with its samples exchanged, and counts there, too."""
        plain = self.selection is None and self.match is None and self.weights is None and not self.per_anchor
        own = self.self_index is None or self._diagonal
        return plain and own and self.is_self_comparison and self.anchor_labels is self.reference_labels

    @property
    def _pairing(self) -> Pairing:
        labels = self.anchor_labels, self.reference_labels
        return self._once("pairing", lambda: Pairing(*labels, self.self_index, self.match))

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
        if self.selection is None:
            return self.negative_mask.as_bool()
        return self._once("negatives", lambda: self.selection.negatives(len(self), len(self.references)))  # type: ignore[union-attr]

    @property
    def negative_mask(self) -> Mask:
        """Which references are negatives of which anchor, those that a selection repeats once; quicker than a mask."""
        return self._once("negative_mask", self._negative_mask)

    @property
    def negative_mask_if_made(self) -> Mask | None:
        """`negative_mask`, if something has asked for it."""
        return self._memo.get("negative_mask")

    def _negative_mask(self) -> Mask:
        if self.selection is None:
            return self._pairing.negatives(self.lists_positives)
        return Mask.of(self.negatives if self.negatives.dtype is torch.bool else self.negatives != 0)

    @property
    def positive_index(self) -> tuple[Tensor, Tensor]:
        """Each anchor's positives as columns `[A, K]`, and which of those entries are valid, bool `[A, K]`.

        A pair that a selection repeats stands in as many columns. O(A·K) memory, from sorted labels; with a match, the
        memory of a tile besides. Finding K waits for the device, if it is one.
        """
        found = self._once("positive_index", self._positive_index)
        return found.index, found.valid

    def _positive_index(self) -> PaddedIndex:
        if self.selection is None:
            return self._pairing.positive_index()
        keys, columns = self.selection.anchor, self.selection.positive
        return PaddedIndex.by_key(keys, columns, torch.arange(len(self), device=keys.device))

    @property
    def lists_positives(self) -> bool:
        """Whether what is only about positives looks at K columns, not at M."""
        return bool(self._lists)

    @property
    def has_few_positives(self) -> bool:
        """Whether the embeddings of an anchor's positives have fewer entries than half of its row of distances has.

        Of all anchors of a step, so that each of its tiles goes the same way.
        """
        if self._few is None:
            known = self.anchor_labels is not None and self.reference_labels is not None and self.match is None
            found = (
                known
                and self.lists_positives
                and self._pairing.max_class_size * self.anchors.shape[1] * FEW_POSITIVES_RATIO <= len(self.references)
            )
            object.__setattr__(self, "_few", found)
        return bool(self._few)

    def at_positives(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Of values `[A, M]`, or `[1, M]`, those of positives, `[A, K]`, and which of them count, in their shape.

        Where positives are not listed, all of them, and `positives`.
        """
        if not self.lists_positives:
            return values, self.positives
        index, valid = self.positive_index
        return (values.gather(1, index) if len(values) == len(self) else values[0][index]), valid

    def row_weights(self) -> Tensor | None:
        """How often each anchor occurs in the selection, over the most frequent one's count; None without selection.

        Where the batch is compared with itself, occurrences as a positive or negative count too.
        """
        if self.selection is None:
            return self.weights
        counts = self.selection.occurrences(len(self), self.is_self_comparison).to(self.anchors.dtype)
        return counts / counts.max().clamp(min=1.0) if len(counts) else counts

    def nan_if_not_finite(self) -> Tensor:
        """NaN where an embedding is not finite, else 0. For what looks at some embeddings only and must not hide it."""
        return nan_if_not_finite(self.anchors, self.references)
