"""Barlow Twins."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar
from metricreg.batch.two_views import two_views
from metricreg.components import Distance, Loss, UnreducedLossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity

RESOLUTION = 8.0
"""A feature that varies by less than this many rounding errors of its values does not vary."""


class BarlowTwinsLoss(Loss):
    r"""Wants each feature to correlate with itself, and with no other, between two views of the same things.

    $$\sum_i (1 - C_{ii})^2 + \lambda \sum_{i \ne j} C_{ij}^2$$

    C is the correlation of feature i of the embeddings with feature j of the reference embeddings; row k of one is the
    other view of row k of the other. Labels are not looked at, no reducer changes the sums, and fewer than two rows
    give 0. A feature that does not vary correlates with none. Zbontar et al. 2021, "Barlow Twins: Self-Supervised
    Learning via Redundancy Reduction".

    Args:
        redundancy_lambda: lambda, the weight of correlations between features, at least 0.
    """

    compared_with = "paired references"

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity

    def __init__(
        self, redundancy_lambda: Annotated[float, Field(ge=0)] = 0.0051, **slots: Unpack[UnreducedLossSlots]
    ) -> None:
        super().__init__(**slots)
        self.redundancy_lambda = redundancy_lambda
        if self.distance.power != 1.0:
            raise ValueError(f"BarlowTwinsLoss is about correlations as they are: power=1, not {self.distance.power:g}")

    def terms(self, batch: Batch) -> Terms:
        """None: a correlation is no sum over rows."""
        return {}

    def prepare(self, batch: Batch) -> Batch:
        """Check that there are two views."""
        two_views(batch, "BarlowTwinsLoss")
        return batch

    def batch_terms(self, batch: Batch) -> Terms:
        """Of correlations `[D, D]`, `invariance_loss` of each feature with itself, `redundancy_loss` of all others."""
        features = batch.anchors.shape[1]
        if len(batch) < 2:
            nothing = batch.anchors.new_zeros(())
            return {name: Scalar((nothing,), _as_it_is) for name in ("invariance_loss", "redundancy_loss")}
        correlations = self.distance(_centered(batch.anchors).mT, _centered(batch.references).mT)
        own = torch.eye(features, dtype=torch.bool, device=correlations.device)
        redundancy = correlations.masked_fill(own, 0.0).square().sum()
        return {
            "invariance_loss": Scalar(((1.0 - correlations.diagonal()).square().sum(),), _as_it_is),
            "redundancy_loss": Scalar((self.redundancy_lambda * redundancy,), _as_it_is),
        }


def _centered(z: Tensor) -> Tensor:
    """Features less their mean, `[N, D]`; zeros where that is rounding."""
    centered = z - z.mean(0)
    noise = RESOLUTION * torch.finfo(z.dtype).eps * z.detach().abs().amax(0)
    return centered.masked_fill(centered.detach().abs().amax(0) <= noise, 0.0)


def _as_it_is(value: Tensor) -> Tensor:
    return value
