"""Inputs: what a component is called with, and those among which one is looked for that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.components.component import Component
from metricreg.components.signature import parameters_model

ROWS = 12
"""Rows of usual inputs,"""
CLASSES = (0, 1, 2, 0, 1, 2, 0, 1, 0, 3, 0, 1)
"""and their classes: of several sizes, one with a single row."""
USUAL_ROWS = (ROWS, 8)
"""Numbers of rows that are tried with all sizes."""
DIMENSIONS = 5
LABELS_IN_SET = 3
MOST = 4096
"""The largest number that may be that of dimensions or rows."""
MOST_SIZES = 6


@dataclass(frozen=True)
class Inputs:
    """What a component is called with. Which of them it looks at depends on its kind.

    A loss, a miner and a distance take them by these names. A regularizer takes `embeddings`, and a match the labels.
    Of a reducer, `embeddings` are the values of a term.

    Args:
        embeddings: `[N, D]`.
        labels: `[N]` or `[N, L]`, or None.
        ref_embeddings: `[M, D]`, or None.
        ref_labels: `[M]` or `[M, L]`, or None.
        tuples: index tuples, or None.
    """

    embeddings: Tensor
    labels: Tensor | None = None
    ref_embeddings: Tensor | None = None
    ref_labels: Tensor | None = None
    tuples: Any = None

    def __len__(self) -> int:
        return len(self.embeddings)

    def __repr__(self) -> str:
        given = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return ", ".join(f"{name} {list(value.shape)}" for name, value in given.items())

    @property
    def is_classed(self) -> bool:
        """Whether there is one label a row."""
        return self.labels is not None and self.labels.ndim == 1

    def copied(self) -> Inputs:
        """The same in tensors of its own, which lie in memory as these do."""
        given = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: _copied(value) for name, value in given.items()})

    def each_row(self, index: Any) -> Inputs:
        """Some rows, or all in another order, of references too."""
        given = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value[index] for name, value in given.items()})

    def first(self, count: int) -> Inputs:
        """The first rows."""
        return self.each_row(slice(0, count))

    def permuted(self) -> tuple[Inputs, Tensor]:
        """The same rows in another order, and that order."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(1))
        return self.each_row(order), order

    def labelled(self, labels: Tensor) -> Inputs:
        """Other labels `[N]`, of as many rows, of references too."""
        some = self.first(len(labels))
        return replace(some, labels=labels, ref_labels=None if some.ref_labels is None else labels)

    def with_rows(self, change: Any) -> Inputs:
        """What a function makes of the embeddings, and of the references."""
        other = self.ref_embeddings
        return replace(
            self, embeddings=change(self.embeddings), ref_embeddings=None if other is None else change(other)
        )

    def to(self, *target: Any) -> Inputs:
        """As `Tensor.to` of the embeddings; with a device, of the labels too."""
        moved = self.with_rows(lambda x: x.to(*target))
        if any(isinstance(each, torch.dtype) for each in target):
            return moved
        labels = {
            name: value.to(*target) for name in ("labels", "ref_labels") if (value := getattr(self, name)) is not None
        }
        return replace(moved, **labels)

    def again(self, seed: int) -> Inputs:
        """Other embeddings with the same labels."""
        other = None if self.ref_embeddings is None else rows_like(self.ref_embeddings, seed + 100)
        return replace(self, embeddings=rows_like(self.embeddings, seed), ref_embeddings=other)


def batch_of(inputs: Inputs) -> Batch:
    """The batch that a loss or a miner sees."""
    return Batch.of(
        inputs.embeddings,
        inputs.labels,
        tuples=inputs.tuples,
        ref_embeddings=inputs.ref_embeddings,
        ref_labels=inputs.ref_labels,
    )


def rows(count: int, size: int, seed: int = 0) -> Tensor:
    """Random embeddings `[count, size]` in float64, not of unit norm."""
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _copied(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x.detach())


def rows_like(x: Tensor, seed: int) -> Tensor:
    """Random embeddings of a shape `[N, D]`, in float64."""
    count, size = x.shape
    return rows(count, size, seed)


def candidates(component: Any) -> Iterator[Inputs]:
    """Inputs of all sorts, the usual ones first: their sizes are guessed from the numbers that a component has."""
    numbers = numbers_of(component)
    products = {a * b for a in numbers for b in numbers}
    counts = dict.fromkeys([*range(ROWS, 0, -1), *sorted(n for n in products if n <= MOST)])
    sizes = _sizes(component, numbers)
    for count in counts:
        for size in sizes if count in USUAL_ROWS else sizes[:1]:
            x, y = rows(count, size), rows(count, size, seed=1)
            labelled = list(_labels(count))
            for labels in reversed(labelled) if component.kind == "match" else labelled:
                yield Inputs(x, labels)
                yield Inputs(x, labels, y, labels)
            yield Inputs(x, None, y)
            yield Inputs(x)


def _labels(count: int) -> Iterator[Tensor]:
    classes = torch.tensor(CLASSES).repeat(count // len(CLASSES) + 1)[:count]
    for most in (4, 2, 1):
        yield classes % most
    member = torch.rand(count, LABELS_IN_SET, generator=torch.Generator().manual_seed(0)) < 0.4
    yield member.long()


def _sizes(component: nn.Module, numbers: list[int]) -> list[int]:
    """What D may be: an axis of a tensor that it holds, a number that it was given, or anything."""
    held = [tensor.shape for tensor in (*component.parameters(), *component.buffers()) if tensor.ndim >= 2]
    found = [*(shape[-1] for shape in held), *(shape[0] for shape in held), DIMENSIONS, *numbers]
    return [size for size in dict.fromkeys(found) if 0 < size <= MOST][:MOST_SIZES]


def numbers_of(component: nn.Module) -> list[int]:
    """The integers that a component, and those in it, were given or have by default."""
    found: list[int] = []
    for part in component.modules():
        if isinstance(part, Component) and "_construction" in vars(part):
            cls, values, _ = part._construction
            defaults = {name: field.default for name, field in parameters_model(cls).model_fields.items()}
            found += [value for value in (defaults | values).values() if type(value) is int and 0 < value <= MOST]
    return list(dict.fromkeys(found))
