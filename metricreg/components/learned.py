"""Numbers that are learned, such as a temperature."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Required, TypedDict

from metricreg.functional.precision import at_least_float32
from metricreg.functional.torch_internals import has_tangent

BOUND = 100.0
"""By what factor a learned number may become smaller or larger, if nothing else is said."""


class Learned(TypedDict, total=False):
    """A number greater than 0 that is learned: `{"learned": 0.07, "min": 0.01, "max": 0.5}`.

    `learned` is what it is at first. It stays between `min` and `max`, by default a hundredth and a hundred times that.
    """

    learned: Required[Annotated[float, Field(gt=0)]]
    min: Annotated[float, Field(gt=0)]
    max: Annotated[float, Field(gt=0)]


PositiveNumber = Annotated[float, Field(gt=0)] | Learned
"""The hint of a parameter that is a number greater than 0, fixed or learned: see `LearnedNumber.of`."""


class LearnedNumber(nn.Module):
    """A number between two others, whose logarithm is learned.

    Its one parameter is the logarithm, `log`. Where a step took that beyond a bound, the number is the bound, and only
    a gradient that leads back is passed on. A component keeps `LearnedNumber.of(temperature)`, and computes with
    `LearnedNumber.value(self.temperature)`.

    Args:
        initial: what it is at first, between the bounds.
        least: the lower bound, greater than 0.
        most: the upper bound.
    """

    def __init__(self, initial: float, least: float, most: float) -> None:
        super().__init__()
        if not least <= initial <= most:
            raise ValueError(f"a learned number lies between min and max; got {initial}, {least} and {most}")
        self.least, self.most = least, most
        self.log = nn.Parameter(torch.full((), math.log(initial)))

    def forward(self, dtype: torch.dtype | None = None) -> Tensor:
        """The number as it is now, without axes; in the type of the parameter, at least float32, if none is given."""
        log, low, high = (
            at_least_float32(self.log) if dtype is None else self.log.to(dtype),
            math.log(self.least),
            math.log(self.most),
        )
        if has_tangent(log):
            return log.clamp(low, high).exp()
        bounded: Tensor = _Bounded.apply(log, low, high)  # type: ignore[no-untyped-call]
        return bounded.exp()

    def extra_repr(self) -> str:
        """What it is now, and between which bounds."""
        return f"{float(self.forward().detach()):g}, between {self.least:g} and {self.most:g}"

    @staticmethod
    def of(given: float | Learned) -> float | LearnedNumber:
        """What a component keeps of a parameter `PositiveNumber`: a float, or the module that learns it.

        Raises:
            ValueError: a number that does not lie between its bounds.
        """
        if not isinstance(given, dict):
            return float(given)
        initial = given["learned"]
        return LearnedNumber(initial, given.get("min", initial / BOUND), given.get("max", initial * BOUND))

    @staticmethod
    def value(kept: float | LearnedNumber) -> float | Tensor:
        """Its value, to compute with: a float, or a tensor without axes, with its gradient."""
        return kept() if isinstance(kept, LearnedNumber) else kept


class _Bounded(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.low, ctx.high = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        inside = (x > ctx.low) & (x < ctx.high)
        back = ((x <= ctx.low) & (gradient < 0.0)) | ((x >= ctx.high) & (gradient > 0.0))  # a step is against it
        return torch.where(inside | back, gradient, 0.0), None, None
