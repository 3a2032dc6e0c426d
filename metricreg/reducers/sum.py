"""Sum reducer."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer, by_value


class SumReducer(Reducer):
    r"""Sum of all values that count.

    $$\sum_i \ell_i$$
    """

    def __init__(self) -> None:
        super().__init__()

    @by_value
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """The sum."""
        return (term.sum(),)

    def finalize(self, total: Tensor) -> Tensor:
        """The sum."""
        return total
