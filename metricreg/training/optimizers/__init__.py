"""How weights are updated: `optimizer.name` in an experiment file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metricreg.training.optimizers.adam import AdamOptimizer
from metricreg.training.optimizers.sgd import SgdOptimizer

AnyOptimizer = Annotated[AdamOptimizer | SgdOptimizer, Field(discriminator="name")]

__all__ = ["AdamOptimizer", "AnyOptimizer", "SgdOptimizer"]
