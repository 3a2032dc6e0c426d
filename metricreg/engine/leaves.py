"""The tensors of a batch that may want a gradient: which they are, and how a batch is made again on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.listing import are_own_columns


@dataclass(frozen=True)
class Leaf:
    """A tensor of a prepared batch: which field, which key of it, and whether it has a row an anchor."""

    field: str
    key: str | None
    by_row: bool

    def of(self, batch: Batch) -> Tensor:
        """The tensor of a batch."""
        found: Any = getattr(batch, self.field)
        value: Tensor = found if self.key is None else found[self.key]
        return value


def alone(batch: Batch) -> bool:
    """Whether a batch is compared with itself."""
    return batch.anchors is batch.references


def mirrors(batch: Batch) -> bool:
    """Whether each pair of a batch is there a second time with its samples exchanged, and counts there, too."""
    plain = batch.selection is None and batch.match is None and batch.weights is None and not batch.row
    own = batch.self_index is None or are_own_columns(batch.self_index)
    return plain and own and alone(batch) and batch.anchor_labels is batch.reference_labels


def within(batch: Batch, rows: slice, columns: slice, **changes: Any) -> Batch:
    """Some rows of a batch that is compared with itself, against the same rows of it, or others.

    Args:
        batch: those rows against all.
        rows: which they are.
        columns: which they are to be compared with.
        changes: other fields that change.
    """
    labels, own = batch.reference_labels, batch.self_index
    if own is not None:
        own = own - columns.start if rows == columns else None
    changes = {"references": batch.references[columns]} | changes
    made = batch.replace(**changes, reference_labels=None if labels is None else labels[columns], self_index=own)
    return made.paired_as(batch, columns)


def leaves_of(batch: Batch) -> Iterator[Leaf]:
    """Each tensor that `Batch.replace` may exchange, the references first; anchors only if they are others."""
    yield Leaf("references", None, False)
    if not alone(batch):
        yield Leaf("anchors", None, True)
    if batch.weights is not None:
        yield Leaf("weights", None, True)
    yield from (Leaf("row", key, True) for key in batch.row)
    yield from (Leaf("whole", key, False) for key in batch.whole)


def wants_gradient(tensor: Tensor) -> bool:
    """Whether a tensor is to have a gradient."""
    return tensor.is_floating_point() and tensor.requires_grad


def packed(batch: Batch) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], tuple[Batch, list[Tensor]]]]:
    """The tensors of a batch, each once, and how to make it again from them and what else was saved after them."""
    tensors: list[Tensor] = []
    places: dict[int, int] = {}

    def place(tensor: Tensor) -> int:
        if id(tensor) not in places:
            places[id(tensor)] = len(tensors)
            tensors.append(tensor)
        return places[id(tensor)]

    single = {f.name: place(v) for f in fields(batch) if isinstance(v := getattr(batch, f.name), Tensor)}
    named = {name: {k: place(v) for k, v in getattr(batch, name).items()} for name in ("row", "whole")}
    selection, match = batch.selection, batch.match
    columns = [] if selection is None else [place(column) for column in selection.columns()]
    count = len(tensors)
    empty = None if selection is None else selection.with_columns([c[:0] for c in selection.columns()])

    def rebuild(saved: Sequence[Tensor]) -> tuple[Batch, list[Tensor]]:
        changes: dict[str, Any] = {name: saved[at] for name, at in single.items()}
        changes |= {name: {k: saved[at] for k, at in keys.items()} for name, keys in named.items()}
        changes["selection"] = None if empty is None else empty.with_columns([saved[at] for at in columns])
        return Batch(**changes, match=match), list(saved[count:])

    return tensors, rebuild
