"""A small convolutional network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from metricreg.errors import ExperimentError
from metricreg.training.encoders.encoder import Encoder, Width

if TYPE_CHECKING:
    from torch import nn

POOLED = 2


class ConvEncoder(Encoder):
    """Blocks of 3 by 3 convolution, batch normalization, ReLU and 2 by 2 maximum; then a 2 by 2 mean and a linear map.

    Args:
        channels: channels that each block puts out.
        dropout: probability of dropping a pooled value before the linear map; in [0, 1).
    """

    name: Literal["conv"] = "conv"
    channels: list[Width] = Field(default_factory=lambda: [32, 64], min_length=1, max_length=16)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def build(self, shape: tuple[int, ...]) -> nn.Module:
        """See `Encoder.build`; raises `ExperimentError` for rows that are not images."""
        if len(shape) != 3:
            raise ExperimentError(
                f"encoder: conv needs images, [channels, height, width]; the data has rows of {shape[0]} features; "
                "use mlp or linear, or data of another shape"
            )
        from torch import nn

        layers: list[nn.Module] = []
        width = shape[0]
        for channels in self.channels:
            # ceil_mode: however small the image has become, there is always a pixel left
            layers += [
                nn.Conv2d(width, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
            width = channels
        head = [nn.AdaptiveAvgPool2d(POOLED), nn.Flatten(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, *head, nn.Linear(width * POOLED**2, self.embedding_size))
