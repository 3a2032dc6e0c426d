"""A term whose sums over anchors are made without its values."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metricreg.batch.terms import Term, TermError, TermKind
from metricreg.functional.row_sums import hinge_row_sums, number, shifted


class SummedTerm(Term):
    """A term that knows the sum of each anchor's values; the values are made only if something asks for them.

    Args:
        make: the term itself.
        sums: the sum of each anchor's values that count, `[A]`.
        numbers: how many there are, int64 `[A]`.
        size: how many values the sums are made from.
        kind: what a value belongs to.
        divisor: what `DivisorReducer` divides by, as amounts `[A]` that add up over anchors.
        within: sum and number of each anchor's values between two bounds; from the values if None.
    """

    def __init__(
        self,
        make: Callable[[], Term],
        sums: Callable[[], Tensor],
        numbers: Tensor,
        size: int,
        kind: TermKind,
        divisor: Tensor | None = None,
        within: Callable[[float | None, float | None], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        self._make, self._sums, self._numbers, self._size, self._within = make, sums, numbers, size, within
        self._made: Term | None = None
        self.kind, self.rows, self.divisor = kind, None, divisor
        self.name, self.anchors, self.labels = "", len(numbers), None

    @property
    def made(self) -> Term:
        """The term itself."""
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def values(self) -> Tensor:
        """Its values; made now."""
        return self.made.values

    @property
    def weight(self) -> Tensor | None:
        """Which of them count; made now."""
        return self.made.weight

    @property
    def size(self) -> int:
        """How many values it takes to make the sums."""
        return self._size

    def bind(self, name: str, anchors: int, labels: Tensor | None) -> Term:
        """Say which batch the term is of, and check its shapes against it."""
        self.name, self.anchors, self.labels = name, anchors, labels
        if self._numbers.shape != (anchors,) or self._numbers.dtype is not torch.int64:
            raise TermError(f"term '{name}' needs numbers, int64 [{anchors}]; got {tuple(self._numbers.shape)}")
        self._check_divisor()
        return self

    def per_anchor(self, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
        """Sum and count of each anchor's values, only those strictly between the bounds if given."""
        if low is None and high is None:
            return self._sums(), self._numbers
        return super().per_anchor(low, high) if self._within is None else self._within(low, high)

    def sum(self, values: Tensor | None = None) -> Tensor:
        """Sum of the values that count; or of other values in their place."""
        return self._sums().sum() if values is None else super().sum(values)

    def count(self, where: Tensor | None = None) -> Tensor:
        """How many values count, of all or of those where a condition holds."""
        return self._numbers.sum() if where is None else super().count(where)


class Hinges(SummedTerm):
    """[shift ± x]₊ of the pairs that count, summed without a pass for the hinge itself.

    Args:
        values: x, `[A, M]`.
        weight: bool `[A, M]`, which count.
        kind: what a value belongs to.
        shift: what x is added to, or taken from.
        factor: 1 where it is added, -1 where it is taken.
        least: what a pair costs up to which it costs nothing, at least 0.
    """

    def __init__(
        self, values: Tensor, weight: Tensor, kind: TermKind, shift: float, factor: float, least: float = 0.0
    ) -> None:
        def sums(least: float) -> tuple[Tensor, Tensor]:
            return hinge_row_sums(values, weight, shift, factor, least)

        def make() -> Term:
            hinges = torch.nn.functional.threshold(shifted(values, shift, factor), least, 0.0)
            return Term(hinges, weight, kind)

        super().__init__(make, lambda: sums(least)[0], number(values, weight), values.numel(), kind)
        self._above, self._least = sums, least

    def per_anchor(self, low: float | None = None, high: float | None = None) -> tuple[Tensor, Tensor]:
        """Sum and count of each anchor's hinges, only those strictly between the bounds if given."""
        if low is None or low < 0.0 or high is not None:  # hinges of exactly zero may count
            return super().per_anchor(low, high)
        return self._above(max(low, self._least))
