"""Reducer: how many unreduced values become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components.component import Component, origin
from metricreg.errors import RegistrationError


class Reducer(Component):
    """Turns a term into a scalar.

    A subclass implements `statistics` and `finalize`, and works in every plan; or, where no sums over disjoint sets of
    anchors determine the result (a median, the largest k), `reduce` alone, and is evaluated on the whole batch.
    """

    kind: ClassVar[str] = "reducer"

    _sums: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Note which of the two ways a class implements last: a `reduce` of its own outdoes inherited statistics."""
        super().__init_subclass__(**keywords)
        statistics, reduce = origin(cls, "statistics"), origin(cls, "reduce")
        cls._sums = statistics <= reduce and cls.statistics is not Reducer.statistics
        if min(statistics, reduce) < origin(cls, "by_value"):  # a promise about the statistics of another class
            cls.by_value = Reducer.by_value  # type: ignore[method-assign]

    needs_values: bool = True
    """Whether `statistics` looks at single values; False promises that `term.per_anchor` is enough."""

    needs_divisor: bool = False
    """Whether `statistics` sum divisors, too; they are halved with the values only where the loss says they may be."""

    @property
    def by_value(self) -> bool:
        """Whether the statistics are sums over single values, whatever anchors they are of; False promises nothing."""
        return False

    @property
    def additive(self) -> bool:
        """Whether the result follows from statistics that add up over disjoint sets of anchors."""
        return self._sums

    def for_term(self, name: str) -> Reducer:
        """The reducer for the term of a name: this one, unless it holds several."""
        return self

    def check_terms(self, names: Iterable[str]) -> None:
        """Refuse a loss whose terms have other names than this reducer expects."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Tensors that add up over disjoint sets of anchors."""
        raise NotImplementedError(f"{type(self).__name__} has no statistics; it reduces whole terms")

    def finalize(self, *statistics: Tensor) -> Tensor:
        """The scalar that the total statistics stand for; a pure function of them."""
        raise NotImplementedError(f"{type(self).__name__} has no finalize")

    def reduce(self, term: Term) -> Any:
        """The scalar of a whole term."""
        return self.finalize(*self.statistics(term))

    def forward(self, term: Term) -> Any:
        """Reduce a term by hand: `MeanReducer()(term)`."""
        return self.for_term(term.name).reduce(term)

    @classmethod
    def check_declaration(cls, kind: str) -> None:
        """Refuse a reducer that implements neither way."""
        super().check_declaration(kind)
        summed = cls.statistics is not Reducer.statistics, cls.finalize is not Reducer.finalize
        if cls.reduce is Reducer.reduce and summed != (True, True) and cls.for_term is Reducer.for_term:
            raise RegistrationError(
                f"{cls.__module__}.{cls.__qualname__} reduces nothing: implement statistics and finalize, or reduce"
            )
