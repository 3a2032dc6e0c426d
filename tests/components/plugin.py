"""What a plugin may define, in as few lines as it takes."""

from __future__ import annotations

from torch import Tensor

from metricreg import Reducer, Term


class Sum(Reducer):
    """The sum."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return (term.sum(),)

    def finalize(self, *statistics: Tensor) -> Tensor:
        return statistics[0]
