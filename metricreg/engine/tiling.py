"""What everything that goes over a batch tile by tile shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.engine.leaves import Leaf, leaves_of, wants_gradient
from metricreg.engine.module_state import ModuleState
from metricreg.engine.tracking import Tracking
from metricreg.errors import MetricregError
from metricreg.functional.functions import has_tangent

USE_DENSE = 'build with "execution": {"plan": "dense"}, or call with execution=Execution(\'dense\')'
CHANGED = "the tiled plan looks at its inputs again in the backward pass; clone what changes in place, such as a queue"


class Tiles:
    """The tiles of a batch.

    It holds no tensors: what the backward pass needs is kept by autograd, which notices if it was changed in place,
    and frees it in time.

    Args:
        tile: anchors a tile.
        module: whose parameters and buffers are used.
    """

    def __init__(self, tile: int, module: nn.Module) -> None:
        self.tile = tile
        self.state = ModuleState(module)
        self.leaves: list[Leaf] = []

    def inputs(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """The tensors of the module now, and what wants a gradient: tensors of the batch, then parameters."""
        held = self.state.tensors()
        if any(map(has_tangent, [batch.anchors, *(leaf.of(batch) for leaf in leaves_of(batch)), *held])):
            raise MetricregError("the tiled plan has no forward-mode derivative; " + USE_DENSE)
        if not torch.is_grad_enabled():
            return held, []
        self.leaves = [leaf for leaf in leaves_of(batch) if wants_gradient(leaf.of(batch))]
        return held, [leaf.of(batch) for leaf in self.leaves] + _parameters(held)

    @contextmanager
    def tracking(self, batch: Batch, held: Sequence[Tensor], grad: bool) -> Iterator[Tracking]:
        """Leaves and gradients of the tiles, while the module holds the tensors that it held at first.

        Args:
            batch: the whole batch.
            held: those tensors.
            grad: whether gradients are made.
        """
        # hooks on a parameter are to run once, on the whole gradient, and so not on what stands in for it here
        hooked = [p for p in _parameters(held) if p._backward_hooks]
        stand_ins = {id(p): p.detach().requires_grad_(grad) for p in hooked}
        parameters = [stand_ins.get(id(p), p) for p in _parameters(held)]
        found = Tracking(batch, self.leaves, parameters, grad)
        try:
            with self.state.holding([stand_ins.get(id(t), t) for t in held]), found.operands.active():
                yield found
        finally:
            found.operands.sinks = None  # a cycle, which would keep what was made until someone looks for cycles


def saved_by(ctx: Any) -> tuple[Tensor, ...]:
    """What a forward pass over tiles saved, for its backward pass.

    Raises:
        MetricregError: it was changed in place since, or a second derivative is wanted.
    """
    if torch.is_grad_enabled():
        raise MetricregError("the tiled plan has no second derivative; " + USE_DENSE)
    try:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        raise MetricregError(f"{error}. {CHANGED}") from error
    return saved


def check_sources(statistics: list[Tensor], known: list[Tensor]) -> None:
    """Refuse a gradient that would get lost: of a tensor that is neither in the batch nor a parameter."""
    ids = {id(t) for t in known}
    todo = [s.grad_fn for s in statistics if s.grad_fn is not None]
    seen = {t.grad_fn for t in known}
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        source = getattr(node, "variable", None)  # of a node that accumulates into a leaf
        if source is not None and id(source) not in ids:
            raise MetricregError(
                f"terms uses a tensor {list(source.shape)} that wants a gradient and is neither in the batch nor a "
                "parameter of the loss; hand it over in prepare: batch.replace(row=...) or batch.replace(whole=...)"
            )
        todo += [following for following, _ in node.next_functions if following is not None]


def _parameters(held: Sequence[Tensor]) -> list[Tensor]:
    return list({id(t): t for t in held if wants_gradient(t)}.values())
