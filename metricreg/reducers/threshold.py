"""Threshold reducer."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch.terms import Term
from metricreg.components import Reducer, by_value


class ThresholdReducer(Reducer):
    r"""Mean of the values strictly between two bounds.

    $$\operatorname{mean}\,\{\ell_i : \text{low} < \ell_i < \text{high}\}$$

    At least one bound is needed; low must be under high. No value between them gives 0. A NaN is inside any bounds, so
    that none is hidden.

    Args:
        low: values must be greater.
        high: values must be less.
    """

    def __init__(self, low: float | None = None, high: float | None = None) -> None:
        super().__init__()
        if low is None and high is None:
            raise ValueError("give low, high, or both")
        if low is not None and high is not None and low >= high:
            raise ValueError(f"no value lies strictly between low = {low} and high = {high}; low must be under high")
        self.low = low
        self.high = high

    @by_value
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        """Sum and count of the values between the bounds."""
        total, count = term.per_anchor(self.low, self.high)
        return total.sum(), count.sum()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        """Sum over count."""
        return total / count.clamp(min=1)
