"""Mean of the positive values."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer, by_value


class AvgNonZeroReducer(Reducer):
    r"""Mean of the values greater than zero: of what still has something to teach.

    $$\operatorname{mean}\,\{\ell_i : \ell_i > 0\}$$

    No positive value gives 0. A NaN counts, so that none is hidden.
    """

    def __init__(self) -> None:
        super().__init__()

    @by_value
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Sum and count of the values greater than zero."""
        total, count = term.per_anchor(low=0.0)
        return total.sum(), count.sum()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        """Sum over count."""
        return total / count.clamp(min=1)
