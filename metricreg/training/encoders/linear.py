"""One linear map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from metricreg.training.encoders.encoder import Encoder

if TYPE_CHECKING:
    from torch import nn


class LinearEncoder(Encoder):
    """`W x + b`: a learned linear projection. Images are flattened.

    Args:
        bias: whether there is a `b`.
    """

    name: Literal["linear"] = "linear"
    bias: bool = True

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """See `Encoder.build`."""
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), self.embedding_size, bias=self.bias))
