"""Objects of pytorch-metric-learning: constructed, called, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from metricreg import Batch, InputError
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
        return theirs(**given)
    except Exception as error:
        if type(error) in (AssertionError, Exception, ValueError):
            own = any(isinstance(value, NativeLoss) for value in given.values())
            raise ValueError(
                f"pytorch-metric-learning's {theirs.__name__} refuses this: {said_by(error)}"
                + ("; a loss of metricreg's goes into the wrapper that is called so without 'pml/'" if own else "")
            ) from error
        raise


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
    except (AssertionError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        name = type(theirs).__name__
        raise InputError(f"pytorch-metric-learning's {name} cannot compute this batch: {said_by(error)}") from error


def is_alone(batch: Batch) -> bool:
    """Whether a batch is compared with itself, and nothing else is said of it."""
    return batch.is_self_comparison and batch.reference_labels is batch.anchor_labels


def reference_labels(batch: Batch) -> Tensor | None:
    """Labels of other rows, in a tensor of their own: the same one would mean one batch."""
    labels = batch.reference_labels
    return labels.clone() if labels is not None and labels is batch.anchor_labels else labels


def wide(x: Tensor) -> Tensor:
    """Half precision as float32, as everywhere in metricreg."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
