"""Lp norm penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer, RegularizerSlots
from metricreg.functional.safe import safe_pow


class LpRegularizer(Regularizer):
    r"""The Lp norm of each row.

    $$r(x) = \lVert x \rVert_p^{\text{power}}$$

    Args:
        p: the order of the norm, greater than 0.
        power: exponent of the norm.
    """

    def __init__(
        self, p: Annotated[float, Field(gt=0)] = 2.0, power: float = 1.0, **slots: Unpack[RegularizerSlots]
    ) -> None:
        super().__init__(**slots)
        self.p = p
        self.power = power

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The norm of each row `[N]`."""
        return {"loss": Term(safe_pow(torch.linalg.vector_norm(x, self.p, dim=1), self.power))}
