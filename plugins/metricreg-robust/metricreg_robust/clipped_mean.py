"""Clipped mean."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

import metricreg


class ClippedMeanReducer(metricreg.Reducer):
    r"""Mean of the values, each counted at most as `cap`: one sample cannot pull harder than that.

    $$\frac{1}{n} \sum_{i=1}^n \min(\ell_i, \text{cap})$$

    A value above the cap has gradient 0. No value gives 0. It is the ramp loss of Collobert et al. 2006, "Trading
    Convexity for Scalability", where the values are hinges.

    Args:
        cap: the most that one value counts, greater than 0, in units of the loss.
    """

    def __init__(self, cap: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.cap = cap

    @metricreg.by_value
    def statistics(self, term: metricreg.Term) -> tuple[Tensor, ...]:
        """Sum of the clipped values, and count."""
        return term.sum(term.values.clamp(max=self.cap)), term.count()

    def finalize(self, total: Tensor, count: Tensor) -> Tensor:
        """Sum over count."""
        return total / count.clamp(min=1)
