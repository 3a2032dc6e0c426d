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
from metricreg.distances.lp import euclidean_between
from metricreg.functional.euclidean import euclidean
from metricreg.functional.safe import normalize_rows, safe_pow


class SNRDistance(Distance):
    r"""Variance of the difference over variance of the anchor: noise over signal. Not symmetric.

    $$d(x, y) = \frac{\operatorname{var}(x - y)}{\operatorname{var}(x)}$$

    Variances are over the D features. An anchor without variance counts as having the least that leaves the result
    finite. Yuan et al. 2019, "Signal-to-Noise Ratio: A Robust Distance Metric for Deep Metric Learning".

    Args:
        normalize: scale each embedding to unit length first.
        power: exponent of the distance, greater than 0.
    """

    def __init__(self, normalize: bool = True, power: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__(power)
        self.normalize = normalize

    def prepare(self, x: Tensor) -> Tensor:
        """Unit rows, if `normalize`."""
        return normalize_rows(x) if self.normalize else x

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Ratios `[X, Y]`; rows of x are the anchors."""
        return euclidean(x, y, _less_its_mean, self._signal(x), root=False)

    @follows_matrix
    def between(self, batch: Batch) -> Tensor:
        """Distances of the anchors of a batch to its references, `[A, M]`."""
        if type(self).matrix is not SNRDistance.matrix or self._has_own_forward:
            return super().between(batch)
        return safe_pow(euclidean_between(batch, self, False, _less_its_mean, self._signal), self.power)

    def _signal(self, x: Tensor) -> Tensor:
        """D times the variance of prepared rows, but at least what leaves ratios finite, `[..., X, 1]`."""
        least = torch.finfo(x.dtype).eps if self.normalize else math.sqrt(torch.finfo(x.dtype).tiny)
        return _less_its_mean(x).square().sum(-1, keepdim=True).clamp(min=least)


def _less_its_mean(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)
