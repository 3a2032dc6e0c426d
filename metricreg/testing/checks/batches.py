"""The batches that come up in training and are hard on a formula: few rows, classes of any size, rows alike."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from metricreg.errors import InputError
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example
from metricreg.testing.inputs import Inputs
from metricreg.testing.results import call, not_finite, result

MEND = "guard divisions, roots, logarithms and maxima of nothing; or refuse the batch by an InputError that says why"

SCALES = (1e4, 1e-4)
TIED = "zero and equal rows"


@check(mend=MEND)
def bears_few_rows(example: Example) -> None:
    """Of no row, of one and of two it makes something finite, with a graph; or it refuses them by an `InputError`."""
    for count in (0, 1, 2):
        _bears(example, example.inputs.first(count), f"{count} rows")


@check("loss", "reducer", "miner", mend=MEND, after=("takes_any_labels",))
def bears_any_classes(example: Example) -> None:
    """One class, a class with a single row, and classes that are all distinct give something finite."""
    if not example.inputs.is_classed:
        skip("it takes no single label a row")
    for what, labels in _classes(len(example.inputs)):
        _bears(example, example.inputs.labelled(labels), what)


@check("loss", "distance", "regularizer", "miner", mend=MEND)
def bears_zero_and_equal_rows(example: Example) -> None:
    """Rows that are zero, and rows that are equal, give something finite with finite gradients."""
    for dtype in (torch.float32, torch.float64):
        _bears(example, example.inputs.with_rows(_with_zero_and_equal_rows), TIED, dtype)


@check("loss", "distance", "regularizer", "miner", mend=MEND)
def bears_long_and_short_rows(example: Example) -> None:
    """Rows times 10,000, and times 0.0001, give something finite with finite gradients, in float32 and float64."""
    for scale in SCALES:
        for dtype in (torch.float32, torch.float64):
            _bears(example, example.inputs.with_rows(lambda x, s=scale: x * s), f"rows times {scale:g}", dtype)


def degenerate(inputs: Inputs) -> Iterator[tuple[str, Inputs]]:
    """Such batches by name, made of usual ones."""
    for count in (0, 1, 2):
        yield f"{count} rows", inputs.first(count)
    yield TIED, inputs.with_rows(_with_zero_and_equal_rows)
    for scale in SCALES:
        yield f"rows times {scale:g}", inputs.with_rows(lambda x, s=scale: x * s)
    if inputs.is_classed:
        for what, labels in _classes(len(inputs)):
            yield what, inputs.labelled(labels)


def _bears(example: Example, inputs: Inputs, what: str, dtype: torch.dtype = torch.float64) -> None:
    try:
        found = result(example.make(dtype), inputs.to(dtype))
    except InputError:
        return
    except Exception as error:
        fail(f"of {what} it raises", error)
    wrong = not_finite(found)
    if wrong:
        fail(f"of {what}, {wrong}{'' if dtype is torch.float64 else f' in {dtype}'}")
    wanted = inputs.with_rows(lambda x: x.clone().requires_grad_()).to(dtype)
    made = call(example.make(dtype), wanted).items()
    bare = [name for name, value in made if value.is_floating_point() and not value.requires_grad]
    if bare:
        fail(f"of {what}, {bare[0]} has no graph, and `backward` would raise; add 0 times the sum of the inputs")


def _classes(count: int) -> Iterator[tuple[str, Tensor]]:
    yield "one class", torch.zeros(count, dtype=torch.long)
    yield "two classes, one of a single row", (torch.arange(count) == count // 2).long()
    for distinct in dict.fromkeys((count, 4, 2)):
        if distinct <= count:
            yield f"{distinct} rows of {distinct} classes", torch.arange(distinct)


def _with_zero_and_equal_rows(x: Tensor) -> Tensor:
    x, last = x.clone(), max(len(x) - 1, 0)
    if len(x):
        for i in {1, 4} & set(range(len(x))):
            x[i] = x[0]
        x[[i for i in (6, 7) if i <= last]] = 0.0
        x[last] = 0.0
    return x
