"""Which references belong with which anchors by their labels, as masks and as lists of columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metricreg.batch.labels import Matching, check_single, related
from metricreg.errors import InputError
from metricreg.functional.masked import Mask

MATCH_HINT = (
    'Sets of labels need a match that compares them: "match": "share_any" or "jaccard" in a spec, in the loss, and '
    "in a miner used alone or beside a loss made of losses"
)
SPARSE = 4
"""Classmates are listed where there are so many times more references."""
SHORT = 16
"""Columns of a list that is made once for all anchors."""
TILE = 512
"""Anchors that a match compares at a time, where columns are listed."""


@dataclass(frozen=True)
class PaddedIndex:
    """A list of columns for each row, as a matrix.

    Args:
        index: `[A, K]`, columns; what is listed first, then anything.
        valid: bool `[A, K]`, which entries are listed.
    """

    index: Tensor
    valid: Tensor

    @classmethod
    def by_key(cls, keys: Tensor, columns: Tensor, wanted: Tensor) -> PaddedIndex:
        """Of each wanted key the columns under it. Finding K waits for the device, if it is one.

        Args:
            keys: `[T]`, sorted.
            columns: `[T]`, what is listed under each key.
            wanted: `[A]`, the key of each row.
        """
        start, stop = torch.searchsorted(keys, wanted), torch.searchsorted(keys, wanted, right=True)
        # a compiler wants to know that there is more than one column, which the data alone would tell
        least = 2 if torch.compiler.is_compiling() else 0
        width = int((stop - start).max().clamp(min=least)) if len(wanted) else 0
        if torch.compiler.is_compiling():
            torch._check(width >= least)  # type: ignore[no-untyped-call]
        return cls._of(columns, start, stop, width)

    @classmethod
    def _of(cls, columns: Tensor, start: Tensor, stop: Tensor, width: int) -> PaddedIndex:
        padded = torch.nn.functional.pad(columns, (0, 1))  # what entries after the last lead to, and do not count
        entry = start[:, None] + torch.arange(width, device=columns.device)
        return cls(padded[entry.clamp(max=len(columns))], entry < stop[:, None])

    def rows(self, rows: slice) -> PaddedIndex:
        """The lists of some rows."""
        return PaddedIndex(self.index[rows], self.valid[rows])

    def columns(self, columns: slice) -> PaddedIndex:
        """What is listed of some columns, counted from the first of those."""
        inside = self.valid & (self.index >= columns.start) & (self.index < columns.stop)
        return PaddedIndex((self.index - columns.start).clamp(0, columns.stop - columns.start - 1), inside)

    def without(self, left_out: Tensor) -> PaddedIndex:
        """The lists without one column of each row, `[A]`; a column shorter, if no row needs the last then."""
        own = self.valid & (self.index == left_out[:, None])
        width = self.index.shape[1]
        if torch.compiler.is_compiling() or not width or not bool((own.any(1) | ~self.valid[:, -1]).all()):
            return PaddedIndex(self.index, self.valid & ~own)
        at = torch.where(own.any(1), own.int().argmax(1), width - 1)[:, None]
        kept = torch.arange(width - 1, device=self.index.device)[None]
        kept = kept + (kept >= at)
        return PaddedIndex(self.index.gather(1, kept), self.valid.gather(1, kept))


class Pairing:
    """What labels say of the pairs of a batch. What is asked for is made once.

    Args:
        labels: `[A]` or `[A, L]`, the anchors'; None if there are none.
        ref_labels: `[M]` or `[M, L]`, the references'.
        self_index: `[A]`, the column that is the anchor itself, or -1; None if none is.
        match: what compares labels; equality if None.
        classmates: the columns of each anchor's own label, itself included, if they are known.
        by_label: the reference labels in order, and their columns, if they are known.
    """

    def __init__(
        self,
        labels: Tensor | None,
        ref_labels: Tensor | None,
        self_index: Tensor | None,
        match: Matching | None,
        classmates: PaddedIndex | None = None,
        by_label: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        if labels is None or ref_labels is None:
            raise InputError("this objective needs labels (and ref_labels with ref_embeddings), or tuples")
        if match is None:
            check_single(labels, "this objective", MATCH_HINT)
        self.labels, self.ref_labels, self.self_index, self.match = labels, ref_labels, self_index, match
        self._classmates, self._by_label = classmates, by_label
        self._related: tuple[Tensor, Tensor] | None = None

    def positives(self) -> Tensor:
        """Bool `[A, M]`, without the anchors themselves."""
        if self.match is not None:
            return self._by_match()[0]
        return self._without_self(self.labels[:, None] == self.ref_labels)

    def negatives(self, lists: bool) -> Mask:
        """Which pairs are negatives, `[A, M]`.

        Args:
            lists: whether those that are not may be listed, if they are few.
        """
        shape = len(self.labels), len(self.ref_labels)
        if self.match is not None:
            return Mask(shape, None, self._by_match()[1])
        if lists and self._sparse():
            rows, place = self.classmates.valid.nonzero(as_tuple=True)
            return Mask(shape, (rows, self.classmates.index[rows, place]))
        return Mask(shape, None, self.labels[:, None] != self.ref_labels)

    def positive_index(self) -> PaddedIndex:
        """The columns of each anchor's positives."""
        if self.match is None:
            return self.classmates if self.self_index is None else self.classmates.without(self.self_index)
        parts = []
        for i in range(0, max(len(self.labels), 1), TILE):
            own = None if self.self_index is None else self.self_index[i : i + TILE]
            part = Pairing(self.labels[i : i + TILE], self.ref_labels, own, self.match)
            rows, columns = part.positives().nonzero().T
            parts.append(torch.stack([rows + i, columns]))
        keys, columns = torch.cat(parts, 1)
        return PaddedIndex.by_key(keys, columns, torch.arange(len(self.labels), device=keys.device))

    @property
    def classmates(self) -> PaddedIndex:
        """The columns of each anchor's own label, itself included if it is among them."""
        if self._classmates is None:
            self._classmates = PaddedIndex.by_key(*self.by_label, self.labels.long())
        return self._classmates

    @property
    def by_label(self) -> tuple[Tensor, Tensor]:
        """The reference labels in order, `[M]`, and their columns."""
        if self._by_label is None:
            keys, columns = self.ref_labels.long().sort(stable=True)
            self._by_label = keys, columns
        return self._by_label

    @property
    def max_class_size(self) -> int:
        """How many references have the same label at most."""
        _, number = torch.unique_consecutive(self.by_label[0], return_counts=True)
        return int(number.max()) if len(number) else 0

    def list_once(self) -> None:
        """List the classmates of all anchors, for all views of some of them, if they are few."""
        if (
            self.match is None
            and len(self.labels)
            and self.max_class_size <= SHORT
            and self.max_class_size * SPARSE <= len(self.ref_labels)
        ):
            self.classmates  # noqa: B018 - kept

    def view(self, rows: slice, columns: slice | None, self_index: Tensor | None) -> Pairing:
        """The same of some anchors, and of some references.

        Args:
            rows: which anchors.
            columns: which references; all if None.
            self_index: the column of each of those anchors among those references.
        """
        classmates = self._classmates if self._classmates is None else self._classmates.rows(rows)
        ref_labels = self.ref_labels if columns is None else self.ref_labels[columns]
        if classmates is not None and columns is not None:
            classmates = classmates.columns(columns)
        by_label = self._by_label if columns is None else None
        return Pairing(self.labels[rows], ref_labels, self_index, self.match, classmates, by_label)

    def _sparse(self) -> bool:
        return self.classmates.index.shape[1] * SPARSE <= len(self.ref_labels)

    def _by_match(self) -> tuple[Tensor, Tensor]:
        if self._related is None:
            assert self.match is not None
            positives, negatives = related(self.match, self.labels, self.ref_labels)
            self._related = self._without_self(positives), self._without_self(negatives)
        return self._related

    def _without_self(self, mask: Tensor) -> Tensor:
        """A mask `[A, M]` without the column that is the anchor itself."""
        if self.self_index is None or not mask.shape[1]:
            return mask
        column = self.self_index.clamp(min=0)[:, None]
        return mask.scatter(1, column, mask.gather(1, column) & (self.self_index < 0)[:, None])
