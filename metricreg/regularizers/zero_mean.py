"""Zero-mean penalty."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer, RegularizerSlots


class ZeroMeanRegularizer(Regularizer):
    r"""Pulls the sum of each row's features to zero.

    $$r(x) = \left| \sum_d x_d \right|$$
    """

    def __init__(self, **slots: Unpack[RegularizerSlots]) -> None:
        super().__init__(**slots)

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """The absolute sum of each row `[N]`."""
        return {"loss": Term(x.sum(1).abs())}
