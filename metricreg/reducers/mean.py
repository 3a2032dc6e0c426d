"""Mean reducer."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer, by_value


class MeanReducer(Reducer):
    r"""Mean of all values that count.

    $$\frac{1}{n} \sum_{i=1}^n \ell_i$$

    No value gives 0.
    """

    def __init__(self) -> None:
        super().__init__()

    @by_value
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Sum and count."""
        return term.sum(), term.count()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        """Sum over count."""
        return total / count.clamp(min=1)
