"""The networks that an experiment can train: `encoder.name` in an experiment file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metricreg.training.encoders.conv import ConvEncoder
from metricreg.training.encoders.linear import LinearEncoder
from metricreg.training.encoders.mlp import MlpEncoder

AnyEncoder = Annotated[LinearEncoder | MlpEncoder | ConvEncoder, Field(discriminator="name")]

__all__ = ["AnyEncoder", "ConvEncoder", "LinearEncoder", "MlpEncoder"]
