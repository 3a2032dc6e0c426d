"""Reducer: how many unreduced values become one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metricreg.batch.terms import HingeTriplets, Term
from metricreg.components.component import Component
from metricreg.components.marks import by_value, has_mark
from metricreg.errors import MetricregError, RegistrationError

Versions = dict[str, tuple[int, int]]
"""Of each buffer, by its name: which tensor it is, and how often that was changed."""


def buffer_versions(module: nn.Module) -> Versions:
    """The buffers of a module and those in it, as they are now; none while they are compiled."""
    if torch.compiler.is_compiling():
        return {}
    return {name: (id(b), 0 if b.is_inference() else b._version) for name, b in module.named_buffers()}


class Reducer(Component):
    """Turns a term into a scalar.

    A subclass implements `statistics` and `finalize`, and works in every plan; or, where no sums over disjoint sets of
    anchors determine the result (a median, the largest k), `reduce` alone, and is evaluated on the whole batch.
    """

    kind: ClassVar[str] = "reducer"

    @property
    def is_by_value(self) -> bool:
        """Whether `statistics` are promised to be sums over single values (`@metricreg.by_value`)."""
        return has_mark(self.statistics, by_value)

    @property
    def reads_values(self) -> bool:
        """Whether `statistics` look at single values, not only at sums and counts of a term; found by trying."""
        if "_reads_values" not in self.__dict__:
            one = torch.ones(1, 1)
            triplet = HingeTriplets(one, one.bool(), one, one.bool(), divisor=torch.ones(1))
            triplet.bind("loss", 1, torch.zeros(1, dtype=torch.int64))
            try:
                self.statistics(triplet)
            except Exception:  # whatever it wants that is not there
                return True
            self.__dict__["_reads_values"] = triplet.values_were_made
        return bool(self.__dict__["_reads_values"])

    @property
    def additive(self) -> bool:
        """Whether the result follows from statistics that add up over disjoint sets of anchors."""
        return type(self).reduce is Reducer.reduce and type(self).statistics is not Reducer.statistics

    def for_term(self, name: str) -> Reducer:
        """The reducer for the term of a name: this one, unless it holds several."""
        return self

    def check_terms(self, names: Iterable[str]) -> None:
        """Refuse a loss whose terms have other names than this reducer expects."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Tensors that add up over disjoint sets of anchors.

        Where they are sums over single values, whichever anchors those are of, mark it `@metricreg.by_value`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no statistics; it reduces whole terms")

    def finalize(self, *statistics: Any, **unused: Any) -> Tensor:  # Any: whatever parameters a subclass names
        """The scalar that the total statistics stand for; a pure function of them.

        A subclass names what its `statistics` gives, in that order: `finalize(self, total: Tensor, count: Tensor)`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no finalize")

    def reduce(self, term: Term) -> Any:
        """The scalar of a whole term."""
        return self.finalize(*self.statistics(term))

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """As `forward`, for which see."""
        given = [*args, *keywords.values()]
        if len(given) != 1 or not isinstance(given[0], Term):
            raise TypeError(
                f"{type(self).__name__} reduces one Term, such as those of objective.terms(...); got "
                f"{', '.join(type(each).__name__ for each in given) or 'nothing'}"
            )
        return super().__call__(*args, **keywords)

    def forward(self, term: Term) -> Any:
        """Reduce a term by hand: `MeanReducer()(term)`."""
        return self.for_term(term.name).reduce(term)

    def check_unchanged(self, before: Versions) -> None:
        """Refuse that it changed its buffers while it made sums of a term, or what their totals stand for.

        Args:
            before: `buffer_versions` of it, of before.

        Raises:
            MetricregError: which buffer, and where state belongs.
        """
        changed = before.items() ^ buffer_versions(self).items() if self.additive else ()
        if changed:
            raise MetricregError(
                f"{type(self).__name__} changes its buffer '{min(changed)[0]}' in statistics or finalize, which are "
                "pure; keep running state in a loss, which changes it in update_buffers, or implement reduce in "
                "their place, which sees the whole batch once"
            )

    @classmethod
    def check_declaration(cls, kind: str) -> None:
        """Refuse a reducer that implements neither way."""
        super().check_declaration(kind)
        summed = cls.statistics is not Reducer.statistics, cls.finalize is not Reducer.finalize
        if cls.reduce is Reducer.reduce and summed != (True, True) and cls.for_term is Reducer.for_term:
            raise RegistrationError(
                f"{cls.__module__}.{cls.__qualname__} reduces nothing: implement statistics and finalize, or reduce"
            )
