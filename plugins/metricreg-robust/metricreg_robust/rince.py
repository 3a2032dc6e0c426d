"""Robust InfoNCE."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

import metricreg
from metricreg.distances import CosineSimilarity


class RINCELoss(metricreg.Loss):
    r"""InfoNCE between a cross entropy and a loss that is symmetric under label noise.

    $$\ell = \frac{1}{q} \left( \left( \lambda \left( e^{s(a, p) / \tau} + \sum_n e^{s(a, n) / \tau} \right) \right)^q
             - e^{q\, s(a, p) / \tau} \right)$$

    Towards q = 0 its gradient becomes that of InfoNCE; at q = 1 a wrong pair weighs no more than a right one. It may be
    negative. A distance enters with its sign turned. Chuang et al. 2022, "Robust Contrastive Learning against Noisy
    Views".

    Args:
        q: how robust, greater than 0, at most 1; 0.1 to 0.5 in the paper.
        density: lambda, greater than 0, at most 1: the less, the more the positive pair weighs.
        temperature: tau, greater than 0, or `{"learned": 0.5}`; $e^{q / \tau}$ must be a number of the type.
    """

    default_distance = CosineSimilarity

    def __init__(
        self,
        q: Annotated[float, Field(gt=0, le=1)] = 0.5,
        density: Annotated[float, Field(gt=0, le=1)] = 0.01,
        temperature: metricreg.PositiveNumber = 0.5,
        **slots: Unpack[metricreg.LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.q = q
        self.density = density
        self.temperature = metricreg.LearnedNumber.of(temperature)

    def terms(self, batch: metricreg.Batch) -> dict[str, metricreg.Term | metricreg.Scalar]:
        """`loss`: a value a positive pair, `[A, M]`."""
        s = self.distance.closeness(self.distance.between(batch)) / metricreg.LearnedNumber.value(self.temperature)
        negatives = _log_sum_exp(s, batch.negatives)[:, None]
        everything = torch.logaddexp(s, negatives)
        values = ((self.q * everything).exp() * self.density**self.q - (self.q * s).exp()) / self.q
        return {"loss": metricreg.Term(values, batch.positives, kind="pos_pair")}


def _log_sum_exp(s: Tensor, weight: Tensor) -> Tensor:
    """The logarithm of Σ w e^s of each row, `[A]`; for a row without weight a number far below all others."""
    least = torch.finfo(s.dtype).min
    logs = s.masked_fill(weight == 0, least)
    top = logs.detach().amax(1, keepdim=True) if s.shape[1] else s.new_zeros(len(s), 1)
    total = ((logs - top).exp() * weight).sum(1)
    empty = (weight == 0).all(1)
    return (total.masked_fill(empty, 1.0).log() + top[:, 0]).masked_fill(empty, least)
