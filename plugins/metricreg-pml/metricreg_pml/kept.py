"""What changes in objects of pytorch-metric-learning from step to step, as a part of their state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn


def keep_state(theirs: nn.Module) -> None:
    """Make buffers of what pytorch-metric-learning leaves out of the state: how full a memory is, and a histogram."""
    for part in theirs.modules():
        if isinstance(part, CrossBatchMemory) and not hasattr(part, "position"):
            part.register_buffer("position", torch.tensor([part.queue_idx, int(part.has_been_filled)]))
        if isinstance(vars(part).get("hist_"), Tensor):  # of DynamicSoftMarginLoss
            part.register_buffer("hist_", vars(part).pop("hist_"))


@contextmanager
def state_of_a_step(theirs: nn.Module, training: bool) -> Iterator[None]:
    """Around a step: the state is what the buffers say, and changes in training alone.

    Args:
        theirs: the object, whose state is kept.
        training: whether the step is one of training.
    """
    before: list[tuple[nn.Module, str, Tensor]] = []
    for part in theirs.modules():
        if isinstance(part, CrossBatchMemory):
            index, filled = _position(part).tolist()
            part.queue_idx, part.has_been_filled = index, bool(filled)
        before += [] if training else [(part, *each) for each in part.named_buffers(recurse=False)]
    for part, name, buffer in before:
        setattr(part, name, buffer.clone())  # which the step may write to
    try:
        yield
    finally:
        for part in theirs.modules():
            histogram = getattr(part, "hist_", None)
            if isinstance(part, CrossBatchMemory):
                _position(part).copy_(torch.tensor([part.queue_idx, int(part.has_been_filled)]))
            elif isinstance(histogram, Tensor):
                part.hist_ = histogram.detach()  # which otherwise holds the graph of this step
        for part, name, buffer in before:
            setattr(part, name, buffer)


def _position(memory: nn.Module) -> Tensor:
    return memory.get_buffer("position")
