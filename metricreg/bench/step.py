"""Steps: what a worker runs and times."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from metricreg.bench.inputs import Inputs
from metricreg.pipeline import build


class Step(Protocol):
    """Something that can be run again and again."""

    def reset(self) -> None:
        """Forget what the last run left; not timed."""

    def run(self) -> None:
        """What is timed."""

    def facts(self) -> dict[str, Any]:
        """What is known of it, as plain data."""


class ObjectiveStep:
    """A forward and a backward pass of an objective.

    Args:
        objective: called as a pipeline is.
        inputs: what it is called with.
    """

    def __init__(self, objective: Any, inputs: Inputs) -> None:
        tensors = inputs.tensors()
        self.objective = objective
        self.embeddings: Tensor = tensors.pop("embeddings").requires_grad_()
        self.labels: Tensor | None = tensors.pop("labels", None)
        self.others = tensors
        if "ref_embeddings" in tensors:
            tensors["ref_embeddings"].requires_grad_()

    @property
    def leaves(self) -> list[Tensor]:
        """What gets a gradient."""
        held = self.objective.parameters() if isinstance(self.objective, nn.Module) else ()
        return [self.embeddings, *(t for t in self.others.values() if t.requires_grad), *held]

    def reset(self) -> None:
        """Free the gradients."""
        for leaf in self.leaves:
            leaf.grad = None

    def value(self) -> Tensor:
        """The objective's value."""
        value: Tensor = self.objective(self.embeddings, self.labels, **self.others)
        return value

    def run(self) -> None:
        """Forward and backward."""
        self.value().backward()  # type: ignore[no-untyped-call]

    def facts(self) -> dict[str, Any]:
        """The references M that embeddings are compared with, and the bytes of the parameters."""
        held = list(self.objective.parameters()) if isinstance(self.objective, nn.Module) else []
        loss = getattr(self.objective, "loss", self.objective)
        own = list(loss.parameters(recurse=False)) if isinstance(loss, nn.Module) else []
        size = self.embeddings.shape[1]
        rows = sum(p.numel() // size for p in own if p.ndim == 2 and size in p.shape)
        return {
            "references": rows or len(self.embeddings),
            "parameter_bytes": sum(p.numel() * p.element_size() for p in held),
        }


class ProductsStep:
    """The three matrix products `N x M x D` that every exact forward and backward of a loss on all pairs needs.

    All distances take one; of their gradient, that of the anchors takes one and that of the references another. They
    are made in tiles, as fast as the device has them, and nothing else is done. Half precision is multiplied in
    float32, as the engine computes it.

    Args:
        inputs: whose embeddings are multiplied.
        references: M.
    """

    VALUES = 2**21
    """Values of a tile."""

    def __init__(self, inputs: Inputs, references: int) -> None:
        x: Tensor = inputs.tensors()["embeddings"]
        self.x = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
        self.y = self.x if references == inputs.batch else torch.randn(references, inputs.dim).to(self.x)
        self.rows = max(64, self.VALUES // references) if self.x.device.type == "cpu" else 4096

    def reset(self) -> None:
        """Nothing is left."""

    def run(self) -> None:
        """Three products a tile."""
        of_y = torch.zeros_like(self.y)
        of_x = torch.empty_like(self.x)
        for i in range(0, len(self.x), self.rows):
            part = self.x[i : i + self.rows]
            values = part @ self.y.T
            torch.mm(values, self.y, out=of_x[i : i + self.rows])
            of_y.addmm_(values.T, part)

    def facts(self) -> dict[str, Any]:
        """The references M."""
        return {"references": len(self.y), "parameter_bytes": 0}


def of_spec(inputs: Inputs, spec: dict[str, Any]) -> Step:
    """The step of a spec."""
    return ObjectiveStep(build(spec).to(inputs.device), inputs)


def of_products(inputs: Inputs, references: int) -> Step:
    """The floor of a loss with so many references."""
    return ProductsStep(inputs, references)
