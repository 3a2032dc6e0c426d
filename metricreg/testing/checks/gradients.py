"""Gradients: whether they are those of the value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metricreg.errors import RecomputedError
from metricreg.testing.check import check, fail
from metricreg.testing.example import Example
from metricreg.testing.inputs import Inputs
from metricreg.testing.results import DENSE, LEAVES, call, difference, gradients, leaves_of, result, weights_like

STEP = 1e-6
TOLERANCE = 1e-5
"""Relative difference that the step and rounding make, in float64."""


@check(
    "loss",
    "distance",
    "regularizer",
    "reducer",
    mend="detach nothing that the value depends on, and check a derivative that is written by hand; where the gradient "
    "is by definition another one, expect the failure",
)
def has_the_right_gradient(example: Example) -> None:
    """The gradients of its inputs and of its parameters are those of finite differences."""
    inputs, component = example.inputs, example.make()
    found = result(component, inputs)
    generator = torch.Generator().manual_seed(3)
    for name, slope in found.items():
        if not name.startswith("the gradient of "):
            continue
        for _ in range(2):
            direction = torch.randn(slope.shape, generator=generator, dtype=torch.float64)
            ahead, behind = (_moved(example, inputs, name, step * direction) for step in (STEP, -STEP))
            want, got = (ahead - behind) / (2 * STEP), float((slope * direction).sum())
            scale = max(abs(want), float(slope.norm()), 1e-3)
            if not abs(got - want) <= TOLERANCE * scale:
                fail(f"along a random direction, {name} is {got:.8g}, and the value changes by {want:.8g}")


def _moved(example: Example, inputs: Inputs, name: str, by: Tensor) -> float:
    """The value, or the weighted sum of what is made, with an input or a parameter moved."""
    component = example.make()
    of = name.removeprefix("the gradient of ")
    if of in LEAVES:
        inputs = replace(inputs, **{of: getattr(inputs, of) + by})
    else:
        with torch.no_grad():
            component.get_parameter(of.split("'")[1]).add_(by)
    torch.manual_seed(0)
    with torch.no_grad():
        made = call(component, inputs).values()
    return sum(float((value * weights_like(value)).sum()) for value in made)


@check(
    "loss",
    mend="change state in update_buffers alone, and only where self.training; keep it in buffers",
    after=("leaves_its_inputs_alone",),
)
def can_be_checkpointed(example: Example) -> None:
    """In a `torch.utils.checkpoint` it has its plain gradient, or raises `RecomputedError` if its state changes."""
    first, second = example.inputs, example.inputs.again(7)
    component, other = example.make(), example.make()
    for each in (component, other):
        result(each, first)  # which shows whether its state changes
    want = result(other, second)
    leaves = leaves_of(second)
    names = [name for name, value in vars(second).items() if isinstance(value, Tensor)]

    def run(*tensors: Tensor) -> Any:
        return tuple(call(component, replace(second, **dict(zip(names, tensors, strict=True))), DENSE).values())

    torch.manual_seed(0)
    given = [leaves.get(name, getattr(second, name)) for name in names]
    values = checkpoint(run, *given, use_reentrant=False)
    made = dict(zip((name for name in want if "gradient" not in name), values, strict=True))
    try:
        slopes = gradients(component, made, leaves)
    except RecomputedError:
        return
    found = difference({name: value.detach() for name, value in made.items()} | slopes, want, 1e-10)
    if found:
        fail(f"in a checkpoint, {found}")
