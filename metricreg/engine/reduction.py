"""Terms as statistics that add up over anchors, and as the values that those stand for; what others give is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.errors import MetricregError

Terms = Mapping[str, Term | Scalar]


class Additive(Protocol):
    """What the engine asks of a reducer."""

    @property
    def additive(self) -> bool:
        """Whether `statistics` and `finalize` are there; else only `reduce` is."""

    def for_term(self, name: str) -> Additive:
        """The reducer for a term."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Tensors that add up over disjoint sets of anchors."""

    def finalize(self, *statistics: Tensor) -> Tensor:
        """The scalar that their totals stand for."""

    def reduce(self, term: Term) -> Any:
        """The same from the whole term at once."""


def described(value: Any) -> str:
    """What something is, for an error: its type, and its shape if it is a tensor."""
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def bound(terms: Terms, batch: Batch, giver: Callable[..., Any]) -> Terms:
    """The terms, told which anchors they are of, their shapes checked.

    Args:
        terms: what a component gave.
        batch: of which anchors.
        giver: the method that gave them.
    """
    if not isinstance(terms, Mapping):
        raise MetricregError(
            f"{giver.__qualname__} returned {described(terms)}; expected a mapping of names to Term or Scalar"
        )
    for name, term in terms.items():
        if isinstance(term, Term):
            term.bind(name, len(batch), batch.anchor_labels)
        elif not isinstance(term, Scalar):
            raise MetricregError(
                f"{giver.__qualname__} returned {described(term)} for '{name}'; expected a Term or a Scalar"
            )
    return terms


def one_value(value: Any, name: str, maker: str) -> Tensor:
    """A scalar that a component made of a term."""
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise MetricregError(f"{maker} made {described(value)} of the term '{name}'; expected a tensor with one value")
    return value


@dataclass(frozen=True)
class Finalizer:
    """What total statistics of a term stand for.

    Args:
        name: the term's.
        maker: the name of the class that gave the statistics: Scalar, or that of a reducer.
        make: the scalar of the totals; None if they stand for none.
    """

    name: str
    maker: str
    make: Callable[..., Tensor] | None

    @property
    def own(self) -> bool:
        """Whether the statistics are the loss's own, not a reducer's."""
        return self.maker == Scalar.__name__

    def __call__(self, totals: Sequence[Tensor]) -> Tensor:
        """The scalar that total statistics stand for, if they stand for one."""
        assert self.make is not None
        return one_value(self.make(*totals), self.name, self.maker)


def summed(name: str, term: Term | Scalar, reducer: Additive) -> tuple[Finalizer, tuple[Tensor, ...]]:
    """The statistics of a term, by its own definition or by a reducer's, and what they stand for."""
    by: Any = term if isinstance(term, Scalar) else reducer.for_term(name)
    given: Any = term.statistics if isinstance(term, Scalar) else by.statistics(term)
    maker = type(by).__name__
    if not isinstance(given, tuple | list) or not all(isinstance(s, Tensor) for s in given):
        held = ", ".join(map(described, given)) if isinstance(given, tuple | list) else described(given)
        raise MetricregError(f"the statistics of the term '{name}' by {maker} are {held}; expected a tuple of tensors")
    return Finalizer(name, maker, by.finalize), tuple(given)


@dataclass(frozen=True)
class Place:
    """Where the statistics of a term are among all: from which on, of which shapes, and of how many values."""

    finalizer: Finalizer
    start: int
    shapes: tuple[torch.Size, ...]
    size: int = 0

    @property
    def span(self) -> slice:
        """The positions of the statistics."""
        return slice(self.start, self.start + len(self.shapes))


def check_layout(before: list[Place], now: list[Place]) -> None:
    """Refuse terms or statistics that some anchors have and others lack."""
    for a, b in zip(before, now, strict=False):
        if a.finalizer.name == b.finalizer.name and a.shapes != b.shapes:
            shapes = [[list(shape) for shape in place.shapes] for place in (a, b)]
            raise MetricregError(
                f"the statistics of the term '{a.finalizer.name}' by {a.finalizer.maker} have the shapes {shapes[0]} "
                f"for some anchors and {shapes[1]} for others; statistics are sums over anchors, such as term.sum(), "
                "term.count() or a histogram, not a value an anchor"
            )
    names = [[place.finalizer.name for place in layout] for layout in (before, now)]
    if before and names[0] != names[1]:
        raise MetricregError(
            f"terms gives {names[0]} for some anchors and {names[1]} for others; give every term every time, with a "
            "weight of zeros where it has nothing"
        )
