"""Where labelled rows come from: `data.name` in an experiment file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metricreg.training.sources.digits import DigitsSource
from metricreg.training.sources.images import ImagesSource
from metricreg.training.sources.npz import NpzSource
from metricreg.training.sources.table import TableSource

AnySource = Annotated[DigitsSource | NpzSource | TableSource | ImagesSource, Field(discriminator="name")]

__all__ = ["AnySource", "DigitsSource", "ImagesSource", "NpzSource", "TableSource"]
