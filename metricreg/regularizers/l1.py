"""L1 penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer


class L1Regularizer(Regularizer):
    r"""The sum of all absolute entries, as in Keras.

    $$r(x) = \lambda_1 \sum_{i,d} \lvert x_{id} \rvert$$

    A sum, not a mean: it grows with the number of rows. The gradient of an entry that is 0 is 0. Tibshirani 1996,
    "Regression Shrinkage and Selection via the Lasso".

    Args:
        l1: λ₁, at least 0.
    """

    any_shape: ClassVar[bool] = True

    def __init__(self, l1: Annotated[float, Field(ge=0)] = 0.01) -> None:
        super().__init__()
        self.l1 = l1

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The weighted sum over `[N, D]`, or any other shape, a scalar."""
        return {"loss": Scalar((self.l1 * x.abs().sum(),), lambda total: total)}

    def effective_arguments(self) -> dict[str, Any]:
        """None: a sum takes no reducer."""
        return {}
