"""Distance in the Poincaré ball."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from metricreg import Distance, symmetric
from metricreg.distances import LpDistance

RIM = {torch.float32: 1e-3, torch.float64: 1e-5}
"""How near to the rim of the unit ball a point may be: nearer, 1 - |x|² is mostly rounding."""


class PoincareDistance(Distance):
    r"""Length of the shortest path between two points of the Poincaré ball.

    $$d(x, y) = \frac{1}{\sqrt c} \operatorname{arcosh} \left( 1 +
        \frac{2 c \lVert x - y \rVert^2}{(1 - c \lVert x \rVert^2)(1 - c \lVert y \rVert^2)} \right) \qquad
        x = \tanh(\sqrt c \lVert v \rVert) \frac{v}{\sqrt c \lVert v \rVert}$$

    The embeddings v are vectors at the center of the ball, and x is where they lead; or they are points x of the ball
    themselves, if not `mapped`. Points beyond the rim are drawn back to just inside of it. At distance 0 the gradient
    is 0. Nickel and Kiela 2017, "Poincaré Embeddings for Learning Hierarchical Representations"; Khrulkov et al. 2020,
    "Hyperbolic Image Embeddings"; Ermolov et al. 2022, "Hyperbolic Vision Transformers", which clips at 2.3 with
    curvature 0.1.

    Args:
        curvature: c, greater than 0; the ball has radius 1 / sqrt(c), and as c goes to 0 the distance of embeddings
            goes to 2 |v - w|.
        mapped: whether embeddings are mapped into the ball; False if they are points of it.
        clip: the length that embeddings are cut to before they are mapped, greater than 0; None for any.
        power: exponent of the distance, greater than 0.
    """

    def __init__(
        self,
        curvature: Annotated[float, Field(gt=0)] = 1.0,
        mapped: bool = True,
        clip: Annotated[float, Field(gt=0)] | None = None,
        power: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__(power)
        if clip is not None and not mapped:
            raise ValueError("clip is for embeddings that are mapped; got mapped=False")
        self.curvature = curvature
        self.mapped = mapped
        self.clip = clip
        self.euclidean = LpDistance(normalize=False)

    def prepare(self, x: Tensor) -> Tensor:
        """Points of the unit ball, `[N, D]`."""
        largest = x.detach().abs().amax(-1, keepdim=True).clamp(min=1.0)  # squares of larger entries may overflow
        norms = torch.linalg.vector_norm(x / largest, dim=-1, keepdim=True) * largest
        lengths = norms.masked_fill(norms < torch.finfo(x.dtype).tiny, 1.0)
        radii = norms * math.sqrt(self.curvature)
        if self.mapped:
            limit = math.inf if self.clip is None else self.clip * math.sqrt(self.curvature)
            radii = radii.clamp(max=limit).tanh()
        radii = radii.clamp(max=1.0 - RIM[x.dtype])
        near = norms < torch.finfo(x.dtype).tiny  # there the map is linear
        return torch.where(near, x * math.sqrt(self.curvature), x * (radii / lengths))

    @symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        """Distances of points of the unit ball, `[X, Y]`."""
        depth = (1.0 - x.square().sum(-1, keepdim=True)) * (1.0 - y.square().sum(-1, keepdim=True)).mT
        # arcosh(1 + 2 u²) = 2 arsinh(u), of which neither a square vanishes nor a slope is infinite
        return (self.euclidean.matrix(x, y) / depth.sqrt()).asinh() * (2.0 / math.sqrt(self.curvature))
