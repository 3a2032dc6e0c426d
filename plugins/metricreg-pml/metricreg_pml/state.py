"""The state of objects of pytorch-metric-learning, for metricreg's own components."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn

from metricreg import InputError, Loss, Pipeline
from metricreg_pml.arguments import VECTORS, vectors_of
from metricreg_pml.catalogue import LIBRARY
from metricreg_pml.conversion import unwrapped


@torch.no_grad()
def load_state(native: Pipeline | Loss, theirs: Any) -> None:
    """Copy what an object of pytorch-metric-learning has learned, or remembers, into the component that stands for it.

    Class vectors, the boundaries of a margin loss, the histogram of a dynamic soft margin loss, and the memory of a
    cross-batch memory; in losses made of losses too.

    Args:
        native: what `metricreg.build(metricreg_pml.to_spec(theirs))` gave, or its loss.
        theirs: a loss of pytorch-metric-learning, or what a spec with `pml/` in it built.

    Raises:
        InputError: the component does not stand for the object.
    """
    ours = native.loss if isinstance(native, Pipeline) else native
    _load(ours, unwrapped(theirs.loss if isinstance(theirs, Pipeline) else theirs))


def _load(ours: Any, theirs: Any) -> None:
    name = type(theirs).__name__
    if hasattr(type(ours), "theirs"):
        _load_exact(ours, theirs)
    elif not type(theirs).__module__.startswith(f"{LIBRARY}."):
        _load_own(ours, theirs)
    elif name == "MultipleLosses":
        for key, loss in theirs.losses.named_children():
            _load(_part(ours, "losses", name)[key], loss)
    elif name == "SelfSupervisedLoss":
        _load(_part(ours, "loss", name), theirs.loss)
    elif name == "CrossBatchMemory":
        _load(_part(ours, "loss", name), theirs.loss)
        memory = _part(ours, "memory", name)
        _copy(memory.embeddings, theirs.embedding_memory, name)
        _copy(memory.labels, theirs.label_memory, name)
        memory.enqueued.fill_(theirs.queue_idx + theirs.has_been_filled * theirs.memory_size)
    elif name in VECTORS:
        _copy(_part(ours, "proxies", name), vectors_of(theirs), name)
    elif name == "MarginLoss":
        _copy(_part(ours, "beta", name), theirs.beta, name)
    elif name == "DynamicSoftMarginLoss":
        edges = torch.nn.functional.pad(theirs.hist_.detach(), (0, 1))  # the last one is left out there
        _copy(_part(ours, "histogram", name), edges, name)


def _load_own(ours: Any, theirs: nn.Module) -> None:
    """Of a component of metricreg's, in which there may be others."""
    for name, tensor in (*theirs.named_parameters(recurse=False), *theirs.named_buffers(recurse=False)):
        _copy(_part(ours, name, type(theirs).__name__), tensor, type(theirs).__name__)
    for name, child in theirs.named_children():
        if child.state_dict():
            _load(ours.get_submodule(name), unwrapped(child))


def _load_exact(ours: Any, theirs: Any) -> None:
    """Into a `pml/` component, which keeps more than the library puts into a state."""
    if type(ours.pml) is not type(theirs):
        raise InputError(f"{type(ours).__name__} does not stand for {type(theirs).__name__}")
    ours.pml.load_state_dict(theirs.state_dict(), strict=False)
    for mine, other in zip(ours.pml.modules(), theirs.modules(), strict=True):
        if isinstance(other, CrossBatchMemory):
            mine.position.copy_(torch.tensor([other.queue_idx, int(other.has_been_filled)]))
        elif isinstance(getattr(other, "hist_", None), Tensor):
            mine.hist_.copy_(other.hist_.detach())


def _part(ours: Any, attribute: str, name: str) -> Any:
    found = getattr(ours, attribute, None)
    if found is None:
        raise InputError(f"{type(ours).__name__} does not stand for {name}: it has no {attribute}")
    return found


def _copy(into: Tensor, values: Tensor, name: str) -> None:
    if into.shape != values.shape:
        raise InputError(f"what {name} holds is {list(values.shape)}, and its place here {list(into.shape)}")
    into.copy_(values)
