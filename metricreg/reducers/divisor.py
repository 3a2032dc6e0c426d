"""Divisor reducer."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer
from metricreg.errors import InputError


class DivisorReducer(Reducer):
    r"""Sum of the values over a divisor that the loss states, such as the number of proxies with a positive.

    $$\frac{1}{d} \sum_i \ell_i$$

    A divisor of 0 gives 0. Only for losses whose terms state one.
    """

    def __init__(self) -> None:
        super().__init__()

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Sum, and divisor."""
        if term.divisor is None:
            raise InputError(
                f"the term '{term.name}' states no divisor, so the reducer divisor cannot reduce it; use mean, or "
                "a loss that states one (margin, proxy_anchor, siglip)"
            )
        return term.sum(), term.divisor.sum()

    def finalize(self, total: Tensor, divisor: Tensor) -> Tensor:
        """Sum over divisor."""
        return (total / divisor.where(divisor != 0, 1)).where(divisor != 0, total * 0.0)
