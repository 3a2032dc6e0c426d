"""L2 penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer


class L2Regularizer(Regularizer):
    r"""The sum of all squared entries, as in Keras.

    $$r(x) = \lambda_2 \sum_{i,d} x_{id}^2$$

    A sum, not a mean, and without a factor of one half. Hoerl and Kennard 1970, "Ridge Regression: Biased Estimation
    for Nonorthogonal Problems".

    Args:
        l2: λ₂, at least 0.
    """

    any_shape: ClassVar[bool] = True

    def __init__(self, l2: Annotated[float, Field(ge=0)] = 0.01) -> None:
        super().__init__()
        self.l2 = l2

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The weighted sum over `[N, D]`, or any other shape, a scalar."""
        return {"loss": Scalar((self.l2 * x.square().sum(),), lambda total: total)}

    def effective_arguments(self) -> dict[str, Any]:
        """None: a sum takes no reducer."""
        return {}
