"""L1 and L2 penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import Tensor

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer


class L1L2Regularizer(Regularizer):
    r"""The sum of all absolute entries and that of all squared entries, as in Keras.

    $$r(x) = \lambda_1 \sum_{i,d} \lvert x_{id} \rvert + \lambda_2 \sum_{i,d} x_{id}^2$$

    Sums, not means. The gradient of an entry that is 0 is 0. Zou and Hastie 2005, "Regularization and Variable
    Selection via the Elastic Net".

    Args:
        l1: λ₁, at least 0.
        l2: λ₂, at least 0.
    """

    any_shape: ClassVar[bool] = True

    def __init__(self, l1: Annotated[float, Field(ge=0)] = 0.01, l2: Annotated[float, Field(ge=0)] = 0.01) -> None:
        super().__init__()
        self.l1 = l1
        self.l2 = l2

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The sum of both weighted sums over `[N, D]`, or any other shape, a scalar."""
        total = self.l1 * x.abs().sum() + self.l2 * x.square().sum()
        return {"loss": Scalar((total,), lambda value: value)}

    def effective_arguments(self) -> dict[str, Any]:
        """None: sums take no reducer."""
        return {}
