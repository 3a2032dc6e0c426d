"""Steps: what is run again and again, timed and weighed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metricreg import build
from metricreg.bench.inputs import Inputs

TILE_VALUES = 2**21
"""Values of a tile of the products on a CPU."""


class ObjectiveStep:
    """A forward and a backward pass of an objective, when it is called.

    Args:
        objective: called as a pipeline is.
        inputs: what it is called with, as two views of each sample where it compares those.

    Attributes:
        references: M, the rows that embeddings are compared with: the class vectors of the loss, or the batch.
        parameter_bytes: what the parameters take.
    """

    def __init__(self, objective: nn.Module, inputs: Inputs) -> None:
        compared = {getattr(part, "compared_with", "") for part in objective.modules()}
        two_views = bool(compared & {"paired references", "own labels"})
        self.objective: Callable[..., Any] = objective
        self.tensors = inputs.tensors(two_views)
        for name in ("embeddings", "ref_embeddings") if two_views else ("embeddings",):
            self.tensors[name].requires_grad_()
        held: list[Tensor] = list(objective.parameters())
        self.leaves = [tensor for tensor in self.tensors.values() if tensor.requires_grad] + held
        self.parameter_bytes = sum(p.numel() * p.element_size() for p in held)
        own = getattr(objective, "loss", objective).parameters(recurse=False)
        rows = sum(p.numel() // inputs.dim for p in own if p.ndim == 2 and inputs.dim in p.shape)
        self.references = rows or inputs.batch

    def value(self) -> Any:
        """The objective's value."""
        return self.objective(
            self.tensors["embeddings"], **{k: v for k, v in self.tensors.items() if k != "embeddings"}
        )

    def differentiate(self, value: Any) -> None:
        """Backward of a value, or of the sum of terms that no reducer reduced."""
        if isinstance(value, dict):
            value = torch.stack([term.sum() for term in value.values()]).sum()
        value.backward()

    def __call__(self) -> None:
        """Forward and backward."""
        for leaf in self.leaves:
            leaf.grad = None
        self.differentiate(self.value())


def spec_step(inputs: Inputs, spec: dict[str, Any]) -> ObjectiveStep:
    """The step of a spec."""
    return ObjectiveStep(build(spec).to(inputs.device), inputs)


def products_step(inputs: Inputs, references: int) -> Callable[[], None]:
    """The three matrix products `N x M x D` that every exact forward and backward of a loss on all pairs needs.

    All distances take one; of their gradient, that of the anchors takes one and that of the references another. They
    are made in tiles, as fast as the device has them, and nothing else is done. Half precision is multiplied in
    float32, as the engine computes it.

    Args:
        inputs: whose embeddings are multiplied.
        references: M.
    """
    x: Tensor = inputs.tensors()["embeddings"]
    x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    y = x if references == len(x) else torch.randn(references, inputs.dim).to(x)
    rows = max(64, TILE_VALUES // references) if x.device.type == "cpu" else 4096

    def step() -> None:
        of_x, of_y = torch.empty_like(x), torch.zeros_like(y)
        for i in range(0, len(x), rows):
            part = x[i : i + rows]
            values = part @ y.T
            torch.mm(values, y, out=of_x[i : i + rows])
            of_y.addmm_(values.T, part)

    return step
