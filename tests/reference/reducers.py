"""Reducers over a list of (anchor, value)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Values:
    """Unreduced values, each with the row of its anchor; a divisor where the loss states one."""

    entries: list[tuple[int, Tensor]]
    divisor: float | None = None


@dataclass(frozen=True)
class Anchors:
    """How many anchors there are, and their labels."""

    count: int
    labels: Sequence[int] | None = None


def total(values: Sequence[Tensor]) -> Tensor:
    """Their sum; 0 of none."""
    return torch.stack(list(values)).sum() if values else torch.zeros((), dtype=torch.float64)


def average(values: Sequence[Tensor]) -> Tensor:
    """Their mean; 0 of none."""
    return total(values) / max(len(values), 1)


def mean(values: Values, anchors: Anchors) -> Tensor:
    return average([v for _, v in values.entries])


def sum_(values: Values, anchors: Anchors) -> Tensor:
    return total([v for _, v in values.entries])


def avg_non_zero(values: Values, anchors: Anchors) -> Tensor:
    return average([v for _, v in values.entries if not bool(v <= 0)])


def threshold(values: Values, anchors: Anchors, low: float | None = None, high: float | None = None) -> Tensor:
    inside = [v for _, v in values.entries if low is None or not bool(v <= low)]
    return average([v for v in inside if high is None or not bool(v >= high)])


def class_weighted(values: Values, anchors: Anchors, weights: Sequence[float] = ()) -> Tensor:
    assert anchors.labels is not None
    return average([weights[anchors.labels[a]] * v for a, v in values.entries])


def divisor(values: Values, anchors: Anchors) -> Tensor:
    assert values.divisor is not None
    return total([v for _, v in values.entries]) / values.divisor if values.divisor else total([])


def per_anchor(values: Values, anchors: Anchors, aggregation: str = "mean", inner=mean) -> Tensor:  # type: ignore[no-untyped-def]
    one_each = []
    for anchor in range(anchors.count):
        own = [v for a, v in values.entries if a == anchor]
        one_each.append((anchor, average(own) if aggregation == "mean" else total(own)))
    return inner(Values(one_each, values.divisor), anchors)
