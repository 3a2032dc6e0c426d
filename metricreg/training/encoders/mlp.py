"""A multi-layer perceptron."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from metricreg.training.encoders.encoder import Encoder, Width

if TYPE_CHECKING:
    from torch import nn


class MlpEncoder(Encoder):
    """Hidden layers of linear map, normalization, ReLU and dropout, then a linear map. Images are flattened.

    Args:
        hidden: width of each hidden layer; an empty list makes it linear.
        dropout: probability of dropping a hidden unit; in [0, 1).
        normalization: after each hidden linear map: `none`, `batch` or `layer`.
    """

    name: Literal["mlp"] = "mlp"
    hidden: list[Width] = Field(default_factory=lambda: [256], max_length=64)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    normalization: Literal["none", "batch", "layer"] = "none"

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """See `Encoder.build`."""
        from torch import nn

        layers: list[nn.Module] = [nn.Flatten()]
        width = math.prod(shape)
        for hidden in self.hidden:
            layers.append(nn.Linear(width, hidden))
            if self.normalization != "none":
                layers.append(nn.BatchNorm1d(hidden) if self.normalization == "batch" else nn.LayerNorm(hidden))
            layers.append(nn.ReLU())
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            width = hidden
        return nn.Sequential(*layers, nn.Linear(width, self.embedding_size))
