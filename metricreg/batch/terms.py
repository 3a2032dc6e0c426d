"""What a loss says of some anchors: unreduced values, which of them count, and whose they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from metricreg.errors import MetricregError
from metricreg.functional.masked import Mask, greater_as_float, masked_sum_and_count

TermKind = Literal["element", "pos_pair", "neg_pair", "triplet"]
_KINDS = get_args(TermKind)
FEW_POSITIVES = 16
"""Positives of an anchor up to which hinges are summed one positive after another; of more, sorted."""


class TermError(MetricregError, ValueError):
    """A loss returned terms whose shapes do not fit its batch."""


class Term:
    """Many unreduced values of some anchors.

    Args:
        values: `[A]`, `[A, M]` or `[A, K, M]`, anchors first; or `[T]` with `rows`.
        weight: which values count (bool), or how often (integers), in the shape of `values`, or with axes of length 1
            in it; None for all, once.
        kind: what a value is of: a `pos_pair`, a `neg_pair` or a `triplet`; or an `element`, such as an anchor.
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
            raise TermError(
                "the kind of a Term is 'pos_pair', 'neg_pair' or 'triplet', or 'element' of any other value, such as "
                f"one an anchor; got {kind!r}"
            )
        self._values, self._weight = values, weight
        self.kind, self.rows, self.divisor = kind, rows, divisor
        self.name = ""
        self.anchors = values.shape[0] if values.ndim and rows is None else 0
        self.labels: Tensor | None = None
        self._mask: Mask | None = None

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

    def bind(self, name: str, anchors: int, labels: Tensor | None, negatives: Mask | None = None) -> Term:
        """Say which batch the term is of, and check its shapes against it. The engine does this.

        Args:
            name: what the loss calls the term.
            anchors: the number of anchors.
            labels: the anchors' labels, or None.
            negatives: the negatives of the batch. A weight that is this very mask is summed as what it leaves out.
        """
        self.name, self.anchors, self.labels = name, anchors, labels
        if negatives is not None and self._weight is not None and self._weight is negatives.entries:
            self._mask = negatives
        self._check()
        if self.divisor is not None and self.divisor.shape != (anchors,):
            shape = tuple(self.divisor.shape)
            raise TermError(f"term '{name}' has a divisor {shape} for {anchors} anchors")
        return self

    def _check(self) -> None:
        """Refuse shapes that do not fit together."""
        name, values = self.name, self.values
        first = values.shape[0] if values.ndim else None
        if self.rows is None and first != self.anchors:
            raise TermError(
                f"term '{name}' has values of shape {tuple(values.shape)} for {self.anchors} anchors; put the anchors "
                "first, or say with rows= whose each value is"
            )
        if values.ndim == 1 and self.rows is None and self.kind != "element":
            raise TermError(
                f"term '{name}' has a value an anchor, and its kind is '{self.kind}'; leave the kind out, or say with "
                "rows= whose each value is"
            )
        if self.rows is not None and (values.ndim != 1 or self.rows.shape != values.shape):
            raise TermError(f"term '{name}' has values {tuple(values.shape)} and rows {tuple(self.rows.shape)}")
        if self.rows is not None and self.rows.dtype not in (torch.int64, torch.int32):
            raise TermError(f"term '{name}' has rows of {self.rows.dtype}; rows are anchors, counted from 0: int64")
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

    def per_anchor(self, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
        """Sum `[A]` and count `[A]` (int64) of each anchor's values, only those strictly between the bounds if given.

        A NaN is inside any bounds, so that none is hidden.
        """
        if self._is_plain:
            return masked_sum_and_count(self.values, self._counting, low, high)
        kept = self.weight
        if low is not None:
            kept = _and(~(self.values <= low), kept)
        if high is not None:
            kept = _and(~(self.values >= high), kept)
        return self._by_anchor(_weighted(self.values, kept)), self._count(kept)

    def sum(self, values: Tensor | None = None) -> Tensor:
        """Sum of the values that count, as often as they count; or of other values in their place."""
        values = self.values if values is None else values
        if self._is_plain and values.shape == self.values.shape:
            return masked_sum_and_count(values, self._counting)[0].sum()
        return _weighted(values, self.weight).sum()

    def count(self, where: Tensor | None = None) -> Tensor:
        """How many values count (int64, repetitions included), of all or of those where a condition holds."""
        if where is None and self._mask is not None:
            return self._mask.count().sum()
        kept = self.weight if where is None else _and(where, self.weight)
        if self.rows is not None:
            return self._count(kept).sum()
        if kept is None:
            return torch.full((), self.values.numel(), dtype=torch.int64, device=self.values.device)
        return kept.expand(self.values.shape).sum()

    @property
    def _is_plain(self) -> bool:
        """Whether the values are a matrix, and each counts once or not at all."""
        weight = self.weight
        plain = self.rows is None and self.values.ndim == 2 and (weight is None or weight.dtype is torch.bool)
        return plain and not torch.compiler.is_compiling()  # a compiler finds the passes by itself

    @property
    def _counting(self) -> Mask | None:
        """Which entries of a matrix of values count; None for all."""
        if self._mask is not None or self.weight is None:
            return self._mask
        return Mask.of(self.weight.expand(self.values.shape))

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


class HingeTriplets(Term):
    """relu(x + y) over all positives times all negatives of each anchor, without making them.

    Sums and counts come from how many hinges each x and each y keeps open: by comparisons where an anchor has few
    positives, else from the sorted x, in O(M log K) an anchor and O(M) memory. The `[A, K, M]` values are made only if
    something asks for `values`.

    Args:
        x: `[A, K]`, one entry a positive.
        wx: bool `[A, K]`, which positives count.
        y: `[A, M]`, one entry a reference.
        wy: `[A, M]`, bool or counts: which references are negatives, and how often.
        divisor: what `DivisorReducer` divides by, as amounts `[A]` that add up over anchors.
    """

    def __init__(self, x: Tensor, wx: Tensor, y: Tensor, wy: Tensor, divisor: Tensor | None = None) -> None:
        self.x, self.wx, self.y, self.wy = x, wx, y, wy
        self._made: Tensor | None = None
        self._mask = None
        self.kind, self.rows, self.divisor = "triplet", None, divisor
        self.name, self.anchors, self.labels = "", x.shape[0], None

    @property
    def values(self) -> Tensor:
        """relu(x + y), `[A, K, M]`; made now, and large."""
        if self._made is None:
            self._made = (self.x[:, :, None] + self.y[:, None, :]).relu()
        return self._made

    @property
    def values_were_made(self) -> bool:
        """Whether something asked for the values."""
        return self._made is not None

    @property
    def size(self) -> int:
        """How many values it takes to make this term: not those of the triplets."""
        return self.x.numel() + self.y.numel()

    @property
    def weight(self) -> Tensor:
        """Which triplets count, `[A, K, M]`."""
        if self.wy.dtype is torch.bool:
            return self.wx[:, :, None] & self.wy[:, None, :]
        return self.wx[:, :, None] * self.wy[:, None, :]

    def bind(self, name: str, anchors: int, labels: Tensor | None, negatives: Mask | None = None) -> Term:
        """Say which batch the term is of, and check its shapes against it."""
        self._weight = self.wy
        return super().bind(name, anchors, labels, negatives)

    def _check(self) -> None:
        if not (
            self.x.shape == self.wx.shape
            and self.y.shape == self.wy.shape
            and len(self.x) == len(self.y) == self.anchors
        ):
            shapes = [tuple(t.shape) for t in (self.x, self.wx, self.y, self.wy)]
            raise TermError(
                f"term '{self.name}' needs x, wx [A, K] and y, wy [A, M] with A = {self.anchors}; got {shapes}"
            )

    @property
    def _is_plain(self) -> bool:
        return False

    def per_anchor(self, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
        """Sum and count of each anchor's hinges, only those strictly between the bounds if given."""
        compiling = torch.compiler.is_compiling()  # where K is no number
        once = self.wx.dtype is self.wy.dtype is torch.bool
        if high is None and once and not compiling and self.x.shape[1] <= FEW_POSITIVES:
            return self._by_comparison(low)
        return self._sorted(low, high)

    def _by_comparison(self, low: float | None) -> tuple[Tensor, Tensor]:
        """Of those greater than a bound; one positive after another, in the memory of y.

        A sum of hinges is linear between its kinks: Σ of_x·x + Σ of_y·y, where of_x and of_y are how many hinges an
        entry keeps open, and so the derivative.
        """
        least = max(low or 0.0, 0.0)
        x, y = torch.where(self.wx, self.x, 0.0), self._negatives.filled(self.y, 0.0)
        with torch.no_grad():
            limits = torch.where(self.wx, least - self.x, torch.inf)
            far = self._negatives.filled(self.y, -torch.inf)
            of_x, of_y, memory = [], torch.zeros_like(y), torch.empty_like(y)
            for k in range(x.shape[1]):
                is_open = greater_as_float(far, limits[:, k : k + 1], memory)
                of_x.append(is_open.sum(1))
                of_y += is_open
            open_x = torch.stack(of_x, 1) if of_x else torch.zeros_like(x)
            nan = (0.0 * x).sum(1) + (0.0 * y).sum(1)  # which keeps no hinge open, and must be seen
        total = (open_x * x).sum(1) + torch.linalg.vecdot(of_y, y) + nan
        if low is None or low < 0.0:  # hinges of exactly zero count, and add nothing
            return total, self.wx.sum(1) * self._negatives.count()
        return total, open_x.long().sum(1)

    def _sorted(self, low: float | None, high: float | None) -> tuple[Tensor, Tensor]:
        """Of those between the bounds, from the sorted x and its running sums."""
        x, order = self.x.where(self.wx, 0.0).sort(1)
        wx = self.wx.gather(1, order)
        # between two bounds is a difference of two sums, which may be far larger
        sums = x.where(wx, 0.0) if high is None or x.device.type == "mps" else x.where(wx, 0.0).double()
        totals, counts = _suffix(sums), _suffix(wx.long())
        alive = (self.wy != 0) & wx.any(1, keepdim=True)

        def above(bound: float, right: bool) -> tuple[Tensor, Tensor]:  # of hinges > bound, or >= bound
            first = torch.searchsorted(x.detach(), (bound - self.y.detach()).contiguous(), right=right)
            number = counts.gather(1, first)
            total = totals.gather(1, first) + number * self.y
            return torch.where(alive, total, 0.0) * self.wy, number * self.wy

        total, number = above(0.0 if low is None else max(low, 0.0), right=True)
        if low is None or low < 0.0:  # hinges of exactly zero count, and add nothing
            number = counts[:, :1] * self.wy
        if high is not None and high > 0.0:
            cut, cut_number = above(high, right=False)
            total, number = total - cut, number - cut_number
        elif high is not None:  # no hinge is below zero
            total, number = total * 0.0, number * 0
        # searchsorted may step over a NaN in x; this keeps it in the sum, where there is a triplet to keep it
        nan = torch.where(alive.any(1), totals[:, 0] * 0.0, 0.0)
        return (total.sum(1) + nan).to(x.dtype), number.sum(1)

    @property
    def _negatives(self) -> Mask:
        return Mask.of(self.wy) if self._mask is None else self._mask

    def sum(self, values: Tensor | None = None) -> Tensor:
        """Sum of the hinges; or of other values `[A, K, M]` in their place."""
        return self.per_anchor()[0].sum() if values is None else super().sum(values)

    def count(self, where: Tensor | None = None) -> Tensor:
        """How many triplets count, of all or of those where a condition `[A, K, M]` holds."""
        if where is not None:
            return super().count(where)
        numbers = self._negatives.count() if self.wy.dtype is torch.bool else self.wy.sum(1)
        return (self.wx.sum(1) * numbers).sum()


def _suffix(values: Tensor) -> Tensor:
    """Sums of the entries from each position on, and 0 at the end: `[A, K]` to `[A, K + 1]`."""
    return torch.nn.functional.pad(values.flip(1).cumsum(1).flip(1), (0, 1))


class Scalar:
    """A term with a reduction of its own, for what is no list of values.

    Args:
        statistics: tensors that add up over disjoint sets of anchors.
        finalize: a pure function from their totals to a scalar; None if they are for `Loss.update_buffers` alone, and
            no part of the loss.
    """

    def __init__(self, statistics: tuple[Tensor, ...], finalize: Callable[..., Tensor] | None = None) -> None:
        self.statistics, self.finalize = statistics, finalize
