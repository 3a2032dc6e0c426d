"""The `trainer` section of an experiment file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from metricreg.training.section import Count, Integer, Section, Seed


class TrainingPlan(Section):
    """How long, where and how exactly to train. Always on one device.

    Args:
        epochs: passes; how many batches one has is the sampler's to say.
        seed: of weights, order and dropout.
        accelerator: `auto` takes a GPU where there is one.
        precision: Lightning's name of the number type; the loss itself is computed in float32 or better.
        gradient_clip: largest norm of the gradient; None does not clip.
        log_every: epochs between progress lines where output is not a terminal; None is about ten lines in all.
    """

    epochs: Annotated[Integer, Field(gt=0, le=1_000_000)] = 20
    seed: Seed = 0
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "64-true", "16-mixed", "bf16-mixed"] = "32-true"
    gradient_clip: Annotated[float, Field(gt=0)] | None = None
    log_every: Count | None = None
