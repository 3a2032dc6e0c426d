"""Term: the unreduced values of a loss, which of them count, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from metricreg.errors import MetricregError
from metricreg.functional.row_sums import number, row_sums

TermKind = Literal["element", "pos_pair", "neg_pair", "triplet"]
_KINDS = get_args(TermKind)


class TermError(MetricregError, ValueError):
    """A loss returned terms whose shapes do not fit its batch."""


class Term:
    """Many unreduced values of some anchors.

    Args:
        values: `[A]`, `[A, M]` or `[A, K, M]`, anchors first; or `[T]` with `rows`.
        weight: which values count (bool), or how often (integers), in the shape of `values`, or with axes of length 1
            in it; None for all, once.
        kind: what a value belongs to: an `element`, a `pos_pair`, a `neg_pair` or a `triplet`.
        rows: `[T]`, the anchor of each value, for values that are a list.
        divisor: what `DivisorReducer` divides by, as amounts `[A]` that add up over anchors.

    Attributes:
        name: what the loss calls this term. Set by the engine, as are:
        anchors: the number of anchors A.
        labels: the anchors' labels `[A]`, or None.
    """

    def __init__(
        self,
        values: Tensor,
        weight: Tensor | None = None,
        kind: TermKind = "element",
        rows: Tensor | None = None,
        divisor: Tensor | None = None,
    ) -> None:
        for part, given in {"values": values, "weight": weight, "rows": rows, "divisor": divisor}.items():
            if not isinstance(given, Tensor) and (given is not None or part == "values"):
                raise TermError(f"a Term takes a tensor as {part}; got {type(given).__name__}")
        if kind not in _KINDS:
            raise TermError(f"the kind of a Term is one of {', '.join(_KINDS)}; got {kind!r}")
        self._values, self._weight = values, weight
        self.kind, self.rows, self.divisor = kind, rows, divisor
        self.name = ""
        self.anchors = values.shape[0] if values.ndim and rows is None else 0
        self.labels: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """The values; where `weight` is zero they mean nothing."""
        return self._values

    @property
    def weight(self) -> Tensor | None:
        """Which values count, and how often; None for all, once."""
        return self._weight

    @property
    def size(self) -> int:
        """How many values it takes to make this term."""
        return self._values.numel()

    def bind(self, name: str, anchors: int, labels: Tensor | None) -> Term:
        """Say which batch the term is of, and check its shapes against it. The engine does this."""
        self.name, self.anchors, self.labels = name, anchors, labels
        values = self.values
        first = values.shape[0] if values.ndim else None
        if self.rows is None and first != anchors:
            raise TermError(
                f"term '{name}' has values of shape {tuple(values.shape)} for {anchors} anchors; put the anchors "
                "first, or say with rows= whose each value is"
            )
        if self.rows is not None and (values.ndim != 1 or self.rows.shape != values.shape):
            raise TermError(f"term '{name}' has values {tuple(values.shape)} and rows {tuple(self.rows.shape)}")
        if self.rows is not None and self.rows.dtype not in (torch.int64, torch.int32):
            raise TermError(f"term '{name}' has rows of {self.rows.dtype}; rows are anchors, counted from 0: int64")
        self._check_divisor()
        if self.weight is not None and not _fits(self.weight, values):
            raise TermError(
                f"term '{name}' has values {tuple(values.shape)} and a weight {tuple(self.weight.shape)}; the weight "
                "needs the same number of axes, each as long or of length 1: an anchor's own is weight[:, None]"
            )
        if self.weight is not None and (self.weight.is_floating_point() or self.weight.is_complex()):
            raise TermError(
                f"term '{name}' has a weight of {self.weight.dtype}; a weight says which values count (bool) or how "
                "often (integers). Multiply the values by other factors"
            )
        return self

    def _check_divisor(self) -> None:
        if self.divisor is not None and self.divisor.shape != (self.anchors,):
            shape = tuple(self.divisor.shape)
            raise TermError(f"term '{self.name}' has a divisor {shape} for {self.anchors} anchors")

    def per_anchor(self, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
        """Sum `[A]` and count `[A]` (int64) of each anchor's values, only those strictly between the bounds if given.

        A NaN is inside any bounds, so that none is hidden.
        """
        if self._is_plain(self.weight):
            return row_sums(self.values, self.weight, low, high)
        kept = self._kept(low, high)
        return self._by_anchor(_weighted(self.values, kept)), self._count(kept)

    def sum(self, values: Tensor | None = None) -> Tensor:
        """Sum of the values that count, as often as they count; or of other values in their place."""
        values = self.values if values is None else values
        if self._is_plain(self.weight) and values.shape == self.values.shape:
            return row_sums(values, self.weight)[0].sum()
        return _weighted(values, self.weight).sum()

    def count(self, where: Tensor | None = None) -> Tensor:
        """How many values count (int64, repetitions included), of all or of those where a condition holds."""
        if where is None and self._is_plain(self.weight):
            return number(self.values, self.weight).sum()
        kept = self.weight if where is None else _and(where, self.weight)
        if self.rows is not None:
            return self._count(kept).sum()
        if kept is None:
            return torch.full((), self.values.numel(), dtype=torch.int64, device=self.values.device)
        return kept.expand(self.values.shape).sum()

    def _is_plain(self, weight: Tensor | None) -> bool:
        """Whether the values are a matrix, and each counts once or not at all."""
        plain = self.rows is None and self.values.ndim == 2 and (weight is None or weight.dtype is torch.bool)
        return plain and not torch.compiler.is_compiling()  # a compiler finds the passes by itself

    def _kept(self, low: float | None, high: float | None) -> Tensor | None:
        kept = self.weight
        if low is not None:
            kept = _and(~(self.values <= low), kept)
        if high is not None:
            kept = _and(~(self.values >= high), kept)
        return kept

    def _count(self, kept: Tensor | None) -> Tensor:
        shape, device = self.values.shape, self.values.device
        if kept is None:
            if self.rows is None:
                each = self.values.shape[1:].numel()
                return torch.full((self.anchors,), each, dtype=torch.int64, device=device)
            kept = torch.ones(shape, dtype=torch.bool, device=device)
        return self._by_anchor(kept.expand(shape), torch.int64)

    def _by_anchor(self, values: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        if self.rows is not None:
            dtype = dtype or values.dtype
            zeros = torch.zeros(self.anchors, dtype=dtype, device=values.device)
            return zeros.index_add(0, self.rows, values.to(dtype))
        if values.ndim == 1:
            return values if dtype is None else values.to(dtype)
        return values.flatten(1).sum(1, dtype=dtype)


def _fits(weight: Tensor, values: Tensor) -> bool:
    return weight.ndim == values.ndim and all(w in (1, v) for w, v in zip(weight.shape, values.shape, strict=True))


def _weighted(values: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return values
    if weight.dtype is torch.bool:
        return torch.where(weight, values, 0.0)
    return torch.where(weight != 0, values, 0.0) * weight


def _and(condition: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return condition
    return condition & weight if weight.dtype is torch.bool else condition * weight


class Scalar:
    """A term with a reduction of its own, for what is no list of values.

    Args:
        statistics: tensors that add up over disjoint sets of anchors.
        finalize: a pure function from their totals to a scalar; None if they are for `Loss.commit` alone, and no part
            of the loss.
    """

    def __init__(self, statistics: tuple[Tensor, ...], finalize: Callable[..., Tensor] | None = None) -> None:
        self.statistics, self.finalize = statistics, finalize


__all__ = ["Scalar", "Term", "TermError", "TermKind"]
