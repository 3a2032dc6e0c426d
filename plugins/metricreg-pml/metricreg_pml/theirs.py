"""Objects of pytorch-metric-learning: constructed, called, and what they refuse."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from pytorch_metric_learning.losses import LargeMarginSoftmaxLoss
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from metricreg import InputError, MetricregError
from metricreg.errors import said_by
from metricreg_pml.native import NativeLoss, adapted
from metricreg_pml.parameters import converted


def constructed(theirs: type[nn.Module], arguments: Mapping[str, Any]) -> nn.Module:
    """An object of a class of pytorch-metric-learning.

    Args:
        theirs: the class.
        arguments: with components in them, those of this package or metricreg's own.

    Raises:
        ValueError: it refuses the arguments.
    """
    given = {name: adapted(value) for name, value in converted(theirs, arguments).items()}
    try:
        tried = torch.get_default_device().type == "meta" and issubclass(theirs, LargeMarginSoftmaxLoss)
        with _NumbersOnTheCPU() if tried else nullcontext():
            return theirs(**given)
    except Exception as error:
        if type(error) in (AssertionError, Exception, ValueError):
            own = any(isinstance(value, NativeLoss) for value in given.values())
            raise ValueError(
                f"pytorch-metric-learning's {theirs.__name__} refuses this: {_said(error)}"
                + ("; a loss of metricreg's goes into the wrapper that is called so without 'pml/'" if own else "")
            ) from error
        raise


def _said(error: Exception) -> str:
    """What an exception says; of an assertion without words what it asserts."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return said_by(error) if str(error) or not last.line else f"{type(error).__name__}: {last.line}"


class _NumbersOnTheCPU(TorchFunctionMode):
    """Makes tensors of lists on the CPU, where the constructor that is tried on the meta device reads them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **({"device": "cpu"} if func is torch.tensor else {}) | (kwargs or {}))


@contextmanager
def called(theirs: nn.Module, x: Tensor) -> Iterator[None]:
    """Around a call: without autocast, and with what is refused said as metricreg says it.

    Args:
        theirs: the object that is called.
        x: what it is called with.

    Raises:
        InputError: it refuses what it is called with.
    """
    try:
        with torch.autocast(x.device.type, enabled=False):
            yield
    except (AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, MetricregError | torch.cuda.OutOfMemoryError):
            raise
        name = type(theirs).__name__
        raise InputError(f"pytorch-metric-learning's {name} cannot compute this batch: {_said(error)}") from error


def wide(x: Tensor) -> Tensor:
    """Half precision as float32, as everywhere in metricreg."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
