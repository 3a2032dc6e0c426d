"""Mean reducer."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer


class MeanReducer(Reducer):
    r"""Mean of all values that count.

    $$\frac{1}{n} \sum_{i=1}^n \ell_i$$

    No value gives 0.
    """

    needs_values = False

    def __init__(self) -> None:
        super().__init__()

    @property
    def by_value(self) -> bool:
        """True."""
        return True

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Sum and count."""
        return term.sum(), term.count()

    def finalize(self, *statistics: Tensor) -> Tensor:
        """Sum over count."""
        total, count = statistics
        return total / count.clamp(min=1)
