"""Equal norms."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch.terms import Scalar, Term
from metricreg.components import Regularizer, RegularizerSlots


class CenterInvariantRegularizer(Regularizer):
    r"""Pulls all rows, such as class weights, to one Euclidean norm.

    $$r(w_c) = \frac14 \left( \lVert w_c \rVert^2 - \frac1C \sum_k \lVert w_k \rVert^2 \right)^2$$

    Wu et al. 2017, "Deep Face Recognition with Center Invariant Loss".
    """

    def __init__(self, **slots: Unpack[RegularizerSlots]) -> None:
        super().__init__(**slots)

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        """A quarter of each row's squared deviation `[N]`."""
        squares = x.square().sum(1)
        mean = squares.mean() if len(x) else torch.zeros_like(squares.sum())
        return {"loss": Term((squares - mean).square() / 4)}
