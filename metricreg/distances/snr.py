"""Signal-to-noise ratio distance."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from metricreg.components import Distance
from metricreg.distances.lp import squared_euclidean
from metricreg.functional.safe import unit_rows


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
        x = unit_rows(x) if self.normalize else x
        return x - x.mean(-1, keepdim=True)

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Ratios `[X, Y]`; rows of x are the anchors."""
        signal = x.square().sum(-1, keepdim=True)
        least = torch.finfo(x.dtype).eps if self.normalize else math.sqrt(torch.finfo(x.dtype).tiny)
        return squared_euclidean(x, y, divisor=signal.clamp(min=least))
