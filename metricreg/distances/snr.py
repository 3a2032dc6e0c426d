"""Signal-to-noise ratio distance."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.components import Distance
from metricreg.components.marks import follows_matrix
from metricreg.distances.lp import augmented, squared_euclidean
from metricreg.functional.masked import greater_as_float
from metricreg.functional.safe import normalize_rows, safe_pow


class SNRDistance(Distance):
    r"""Variance of the difference over variance of the anchor: noise over signal. Not symmetric.

    $$d(x, y) = \frac{\operatorname{var}(x - y)}{\operatorname{var}(x)}$$

    Variances are over the D features, and come from the Gram matrix of centred rows. An anchor without variance counts
    as having the least that leaves the result finite. Yuan et al. 2019, "Signal-to-Noise
    Ratio: A Robust Distance Metric for Deep Metric Learning".

    Args:
        normalize: scale each embedding to unit length first.
        power: exponent of the distance, greater than 0.
    """

    def __init__(self, normalize: bool = True, power: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__(power)
        self.normalize = normalize

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows, if `normalize`, less their mean over the features."""
        x = normalize_rows(x) if self.normalize else x
        return x - x.mean(-1, keepdim=True)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Ratios `[X, Y]`; rows of x are the anchors."""
        return self._ratios(augmented(x), augmented(y))

    @follows_matrix
    def between(self, batch: Batch) -> Tensor:
        """Distances of the anchors of a batch to its references, `[A, M]`."""
        if type(self).matrix is not SNRDistance.matrix or self._has_own_forward:
            return super().between(batch)
        ratios = self._ratios(*batch.prepared((self, "augmented"), augmented, (self, self.prepare)))
        return safe_pow(ratios, self.power)

    def _ratios(self, x: Tensor, y: Tensor) -> Tensor:
        """Of augmented rows."""
        least = torch.finfo(x.dtype).eps if self.normalize else math.sqrt(torch.finfo(x.dtype).tiny)
        ratios, resolution = squared_euclidean(x, y, divisor=x[..., -1:].clamp(min=least))
        return ratios * greater_as_float(ratios.detach(), resolution)
