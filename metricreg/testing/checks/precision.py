"""Types of numbers: half precision, float32, float64 and autocast."""

from __future__ import annotations

from dataclasses import replace

import torch

from metricreg.testing.check import check, fail
from metricreg.testing.example import Example
from metricreg.testing.results import call, difference, gradients, leaves_of, result

HALVES = (torch.float16, torch.bfloat16)
SHORT = 0.1
"""What rows are multiplied by where float32 is compared with float64: a formula may end where float32 does."""


@check(
    "loss",
    "distance",
    "regularizer",
    "miner",
    mend="implement terms, matrix or select, which are given float32, and not forward; or begin that by x.float()",
)
def computes_half_in_float32(example: Example) -> None:
    """Of half precision, of both sorts, it makes what it makes of the same numbers in float32."""
    for dtype in HALVES:
        half = example.inputs.to(dtype)
        got = result(example.make(torch.float32), half)
        want = result(example.make(torch.float32), half.to(torch.float32))
        for name, value in got.items():
            leaf = "gradient of embeddings" in name or "gradient of ref_embeddings" in name
            wanted = dtype if leaf else want[name].dtype
            if value.dtype is not wanted:
                fail(f"of {dtype}, {name} is {value.dtype}, and not {wanted}")
        found = difference(got, {name: want[name].to(value.dtype) for name, value in got.items()}, 1e-5)
        if found:
            fail(f"of {dtype}, {found} as of float32")


@check(
    "loss",
    "distance",
    "regularizer",
    "reducer",
    mend="make tensors in the type of those that are given, x.new_zeros(()) or dtype=x.dtype, and cast none",
)
def keeps_the_type(example: Example) -> None:
    """Of float32 it makes float32, and of float64 float64; both are the same up to rounding."""
    inputs = example.inputs.with_rows(lambda x: SHORT * x)
    exact = result(example.make(torch.float64), inputs)
    single = result(example.make(torch.float32), inputs.to(torch.float32))
    for dtype, made in ((torch.float64, exact), (torch.float32, single)):
        for name, value in made.items():
            if value.is_floating_point() and value.dtype is not dtype:
                fail(f"of {dtype}, {name} is {value.dtype}")
    found = difference(single, exact, 1e-2)
    if found:
        fail(f"in float32, {found} as in float64")


@check(
    "loss",
    "distance",
    "regularizer",
    mend="implement terms or matrix, around which autocast is off, and not forward",
)
def ignores_autocast(example: Example) -> None:
    """Under `torch.autocast` it makes the same: it computes in full precision."""
    inputs, component = example.inputs.to(torch.float32), example.make(torch.float32)
    want = result(example.make(torch.float32), inputs)
    leaves = leaves_of(inputs)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):  # not around the backward pass, as torch asks
        made = call(component, replace(inputs, **leaves))
    found = difference(made | gradients(component, made, leaves), want, 1e-5)
    if found:
        fail(f"under autocast, {found}")
