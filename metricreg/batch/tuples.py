"""Which pairs or triplets of a batch are meant: what a miner returns, or what a caller lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricreg.errors import InputError, MetricregError


def _offsets(anchor: Tensor, first: int, last: int) -> tuple[int, int]:
    """Where the entries of anchors `first` to `last` stand in a sorted list. Waits for the device, if it is one."""
    wanted = torch.tensor([first, last], device=anchor.device, dtype=anchor.dtype)
    bounds = torch.searchsorted(anchor.contiguous(), wanted)  # which warns of others, such as a column of a table
    start, stop = bounds.tolist()
    return start, stop


@dataclass(frozen=True, repr=False)
class Pairs:
    """Positive pairs (anchor, positive) and negative pairs (anchor2, negative), each sorted by anchor.

    Args:
        anchor: rows of the anchors of positive pairs, `[P]`.
        positive: columns, among the references, of their positives, `[P]`.
        anchor2: rows of the anchors of negative pairs, `[Q]`.
        negative: columns of their negatives, `[Q]`.
        repeats: whether a pair may stand in the list more than once, and then counts as often.
    """

    anchor: Tensor
    positive: Tensor
    anchor2: Tensor
    negative: Tensor
    repeats: bool = field(default=True, kw_only=True)

    def __repr__(self) -> str:
        return f"Pairs({len(self.anchor)} positive, {len(self.anchor2)} negative)"

    @classmethod
    def of(cls, anchor: Tensor, positive: Tensor, anchor2: Tensor, negative: Tensor, repeats: bool = True) -> Pairs:
        """Sort by anchor, which is what lets a tile of anchors take a slice."""
        order, order2 = anchor.argsort(stable=True), anchor2.argsort(stable=True)
        return cls(anchor[order], positive[order], anchor2[order2], negative[order2], repeats=repeats)

    def rows(self, i: int, j: int) -> Pairs:
        """The pairs of anchors i to j, which become rows 0 to j - i."""
        p, q = slice(*_offsets(self.anchor, i, j)), slice(*_offsets(self.anchor2, i, j))
        return Pairs(self.anchor[p] - i, self.positive[p], self.anchor2[q] - i, self.negative[q], repeats=self.repeats)

    def offset_anchors(self, i: int) -> Pairs:
        """The same pairs with their anchors counted from row i on."""
        return replace(self, anchor=self.anchor + i, anchor2=self.anchor2 + i)

    def positives(self, rows: int, columns: int) -> Tensor:
        """How often each pair is listed as positive, `[A, M]`; bool where no pair repeats."""
        return _counted(self.anchor, self.positive, rows, columns, self.repeats)

    def negatives(self, rows: int, columns: int) -> Tensor:
        """How often each pair is listed as negative, `[A, M]`; bool where no pair repeats."""
        return _counted(self.anchor2, self.negative, rows, columns, self.repeats)

    def occurrences(self, rows: int, with_references: bool) -> Tensor:
        """How often each row is listed, `[A]`: as an anchor, or wherever it stands."""
        return _occurrences(self.columns() if with_references else (self.anchor, self.anchor2), rows)

    def subsample(self, count: int) -> Pairs:
        """At most so many positive and so many negative pairs of each anchor, drawn without replacement."""
        p, q = _drawn(self.anchor, count), _drawn(self.anchor2, count)
        return replace(
            self, anchor=self.anchor[p], positive=self.positive[p], anchor2=self.anchor2[q], negative=self.negative[q]
        )

    def columns(self) -> tuple[Tensor, ...]:
        """The four index lists."""
        return self.anchor, self.positive, self.anchor2, self.negative

    def with_columns(self, columns: Sequence[Tensor]) -> Pairs:
        """Other index lists, sorted by anchor, in the places of these."""
        return Pairs(*columns, repeats=self.repeats)


@dataclass(frozen=True, repr=False)
class Triplets:
    """Triplets (anchor, positive, negative), sorted by anchor.

    Args:
        anchor: rows of the anchors, `[T]`.
        positive: columns, among the references, of their positives, `[T]`.
        negative: columns of their negatives, `[T]`.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __repr__(self) -> str:
        return f"Triplets({len(self.anchor)})"

    @classmethod
    def of(cls, anchor: Tensor, positive: Tensor, negative: Tensor) -> Triplets:
        """Sort by anchor, which is what lets a tile of anchors take a slice."""
        order = anchor.argsort(stable=True)
        return cls(anchor[order], positive[order], negative[order])

    def rows(self, i: int, j: int) -> Triplets:
        """The triplets of anchors i to j, which become rows 0 to j - i."""
        t = slice(*_offsets(self.anchor, i, j))
        return Triplets(self.anchor[t] - i, self.positive[t], self.negative[t])

    def offset_anchors(self, i: int) -> Triplets:
        """The same triplets with their anchors counted from row i on."""
        return replace(self, anchor=self.anchor + i)

    def positives(self, rows: int, columns: int) -> Tensor:
        """In how many triplets each pair is the anchor and its positive, `[A, M]`."""
        return _counted(self.anchor, self.positive, rows, columns, True)

    def negatives(self, rows: int, columns: int) -> Tensor:
        """In how many triplets each pair is the anchor and its negative, `[A, M]`."""
        return _counted(self.anchor, self.negative, rows, columns, True)

    def occurrences(self, rows: int, with_references: bool) -> Tensor:
        """How often each row is listed, `[A]`: as an anchor, or wherever it stands."""
        return _occurrences(self.columns() if with_references else (self.anchor,), rows)

    def subsample(self, count: int) -> Triplets:
        """At most so many triplets of each anchor, drawn without replacement."""
        t = _drawn(self.anchor, count)
        return Triplets(self.anchor[t], self.positive[t], self.negative[t])

    def columns(self) -> tuple[Tensor, ...]:
        """The three index lists."""
        return self.anchor, self.positive, self.negative

    def with_columns(self, columns: Sequence[Tensor]) -> Triplets:
        """Other index lists, sorted by anchor, in the places of these."""
        return Triplets(*columns)


Selection = Pairs | Triplets


def _counted(row: Tensor, column: Tensor, rows: int, columns: int, repeats: bool) -> Tensor:
    if not repeats:
        return torch.zeros(rows, columns, dtype=torch.bool, device=row.device).index_put_(
            (row, column), torch.ones_like(row, dtype=torch.bool)
        )
    counts = torch.zeros(rows, columns, dtype=torch.int32, device=row.device)
    return counts.index_put_((row, column), torch.ones_like(row, dtype=torch.int32), accumulate=True)


def _occurrences(lists: Sequence[Tensor], rows: int) -> Tensor:
    index = torch.cat(list(lists))  # not bincount, which waits for the device
    return torch.zeros(rows, dtype=torch.long, device=index.device).index_add(0, index, torch.ones_like(index))


def _drawn(anchor: Tensor, count: int) -> Tensor:
    """Where `count` random entries of each anchor stand in a list `[T]` sorted by anchor, or all if there are fewer."""
    order = torch.rand(anchor.shape, device=anchor.device).argsort()
    order = order[anchor[order].argsort(stable=True)]  # sorted by anchor again, each anchor's entries shuffled
    place = torch.arange(len(anchor), device=anchor.device) - torch.searchsorted(anchor, anchor)
    return order[place < count].sort().values


def checked_selection(selection: Selection, rows: int, columns: int, giver: str) -> Selection:
    """A selection that someone else's code made: indices that fit, sorted by anchor. Waits for the device.

    Args:
        selection: what was made.
        rows: number of anchors.
        columns: number of references.
        giver: who made it, for errors.

    Raises:
        MetricregError: lists of another type or of different lengths, or an index out of range.
    """
    lists = selection.columns()
    names = [f.name for f in fields(selection)][: len(lists)]
    for name, column in zip(names, lists, strict=True):
        if not isinstance(column, Tensor) or column.ndim != 1 or column.dtype is not torch.int64:
            kind = f"{list(column.shape)} of {column.dtype}" if isinstance(column, Tensor) else type(column).__name__
            raise MetricregError(f"{giver} gave as {name} {kind}; expected a list of indices: int64, one axis")
    groups = (lists,) if len(lists) == 3 else (lists[:2], lists[2:])
    if any(len({len(column) for column in group}) != 1 for group in groups):
        raise MetricregError(f"{giver} gave lists of different lengths: {[len(column) for column in lists]}")
    filled = [(name, column) for name, column in zip(names, lists, strict=True) if len(column)]
    if not filled:
        return selection
    found = torch.stack([end for _, column in filled for end in column.aminmax()]).tolist()
    for (name, _), low, high in zip(filled, found[::2], found[1::2], strict=True):
        limit = rows if name.startswith("anchor") else columns
        if low < 0 or high >= limit:
            raise MetricregError(
                f"{giver} gave as {name} indices from {low} to {high}; expected 0 to {limit - 1}, counted from the "
                "first row of the batch it was given"
            )
    rising = torch.stack([(group[0].diff() >= 0).all() for group in groups]).all()
    if bool(rising):
        return selection
    if isinstance(selection, Pairs):
        return Pairs.of(selection.anchor, selection.positive, selection.anchor2, selection.negative, selection.repeats)
    return Triplets.of(selection.anchor, selection.positive, selection.negative)


def read_tuples(tuples: Any, rows: int, columns: int, device: torch.device) -> Selection:
    """Read `Pairs`, `Triplets`, or index tuples as other libraries list them: three lists a triplet, four for pairs.

    Args:
        tuples: the selection, or (anchors, positives, negatives), or (anchors, positives, anchors, negatives). A pair
            that is listed twice counts twice, in losses with a value a pair or a triplet.
        rows: number of anchors.
        columns: number of references.
        device: where the embeddings are.

    Raises:
        InputError: another shape or type, or an index out of range.
    """
    if isinstance(tuples, Pairs | Triplets):
        lists = tuple(_indices(column, device) for column in tuples.columns())
        make: Any = partial(Pairs.of, repeats=tuples.repeats) if isinstance(tuples, Pairs) else Triplets.of
    elif isinstance(tuples, tuple | list) and len(tuples) in (3, 4):
        lists = tuple(_indices(column, device) for column in tuples)
        make = Pairs.of if len(lists) == 4 else Triplets.of
    else:
        raise InputError(
            "tuples must be Pairs, Triplets, or a tuple of 3 (triplets) or 4 (pairs) index tensors; "
            f"got {_shape(tuples)}"
        )
    lengths = [len(column) for column in lists]
    groups = (lengths,) if len(lists) == 3 else (lengths[:2], lengths[2:])
    if any(len(set(group)) != 1 for group in groups):
        raise InputError(f"the index lists of tuples differ in length: {lengths}")
    names = (
        ("anchors", "positives", "negatives") if len(lists) == 3 else ("anchors", "positives", "anchors", "negatives")
    )
    for name, column in zip(names, lists, strict=True):
        limit = rows if name == "anchors" else columns
        if len(column) and (int(column.min()) < 0 or int(column.max()) >= limit):
            raise InputError(
                f"tuples: {name} must be in 0..{limit - 1}; found {int(column.min())}..{int(column.max())}"
            )
    selection: Selection = make(*lists)
    return selection


def _indices(column: Any, device: torch.device) -> Tensor:
    try:
        index = torch.as_tensor(column, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"tuples hold 1-D integer tensors; got {type(column).__name__}: {error}") from error
    if index.ndim != 1 or (
        index.numel() and (index.is_floating_point() or index.is_complex() or index.dtype is torch.bool)
    ):
        raise InputError(f"tuples hold 1-D integer tensors; got {_shape(index)} of {index.dtype}")
    return index.long()


def _shape(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"
