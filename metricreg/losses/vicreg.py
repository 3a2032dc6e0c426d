"""VICReg."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.batch.two_views import two_views
from metricreg.components import Distance, Loss, UnmatchedLossSlots
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance


class VICRegLoss(Loss):
    r"""Draws two views of the same things together, keeps features from collapsing, and decorrelates them.

    $$\frac{\lambda}{N D} \sum_{i=1}^N \lVert z_i - z'_i \rVert^2 + \frac{\mu}{2} \left[ v(Z) + v(Z') \right]
      + \nu \left[ c(Z) + c(Z') \right]$$

    $$v(Z) = \frac{1}{D} \sum_{j=1}^D \left[ 1 - \sqrt{\operatorname{Cov}(Z)_{jj} + \varepsilon} \right]_+ \qquad
      c(Z) = \frac{1}{D} \sum_{i \ne j} \operatorname{Cov}(Z)_{ij}^2$$

    Row i of the reference embeddings is the other view of row i of the embeddings; labels are not looked at. The D and
    the 2 in the denominators are those of the authors' code, for which the weights are meant. Reducers see a value for
    each row of the first part; the others are means of their own, and 0 of fewer than two rows. Bardes et al. 2022,
    "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning".

    Args:
        invariance_lambda: weight of the distance of the two views, at least 0.
        variance_mu: weight of the features whose standard deviation is under 1, at least 0.
        covariance_v: weight of the covariances between features, at least 0.
        eps: added to variances before their root is taken, greater than 0.
    """

    compared_with = "paired references"

    distances: ClassVar[tuple[type[Distance], ...]] = (LpDistance,)
    default_distance = partial(LpDistance, power=2, normalize=False)

    def __init__(
        self,
        invariance_lambda: Annotated[float, Field(ge=0)] = 25.0,
        variance_mu: Annotated[float, Field(ge=0)] = 25.0,
        covariance_v: Annotated[float, Field(ge=0)] = 1.0,
        eps: Annotated[float, Field(gt=0)] = 1e-4,
        **slots: Unpack[UnmatchedLossSlots],
    ) -> None:
        super().__init__(**slots)
        self.invariance_lambda = invariance_lambda
        self.variance_mu = variance_mu
        self.covariance_v = covariance_v
        self.eps = eps
        d = self.distance
        assert isinstance(d, LpDistance)
        if type(d) is not LpDistance or d.p != 2.0 or d.power != 2.0 or d.normalize:
            raise ValueError(
                "VICRegLoss is about squared distances of embeddings as they are: LpDistance with p=2, power=2 and "
                f"normalize=False, not {type(d).__name__} with p={d.p:g}, power={d.power:g} and normalize={d.normalize}"
            )

    def prepare(self, batch: Batch) -> Batch:
        """Check that there are two views, and hand each row the other view of it."""
        _, y = two_views(batch, "VICRegLoss")
        return batch.replace(per_anchor={"view": y})

    def terms(self, batch: Batch) -> Terms:
        """`invariance_loss`: a value a row, `[A]`."""
        squares = (batch.anchors - batch.per_anchor["view"]).square()
        return {"invariance_loss": Term(self.invariance_lambda * squares.mean(1))}

    def batch_terms(self, batch: Batch) -> Terms:
        """`variance_loss1` and `variance_loss2` of either view, and `covariance_loss` of both."""
        (v, c), (other_v, other_c) = self._penalties(batch.anchors), self._penalties(batch.references)
        values = {
            "variance_loss1": self.variance_mu / 2.0 * v,
            "variance_loss2": self.variance_mu / 2.0 * other_v,
            "covariance_loss": self.covariance_v * (c + other_c),
        }
        return {name: Scalar((value,), _as_it_is) for name, value in values.items()}

    def _penalties(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Of one view, v and c."""
        rows, features = z.shape
        if rows < 2:
            return z.new_zeros(()), z.new_zeros(())
        centered = z - z.mean(0)
        covariance = centered.mT @ centered / (rows - 1)
        deviation = (covariance.diagonal() + self.eps).sqrt()
        own = torch.eye(features, dtype=torch.bool, device=z.device)
        return (1.0 - deviation).relu().mean(), covariance.masked_fill(own, 0.0).square().sum() / features


def _as_it_is(value: Tensor) -> Tensor:
    return value
