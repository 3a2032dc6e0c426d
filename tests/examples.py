"""One of each registered component, and a batch that it takes: for tests of what all of them do.

They come from the registry, so that a component that is added is tested without being listed anywhere.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import metricreg
from metricreg import Execution, InputError, Loss
from metricreg.spec.describe import describe
from tests.oracle import BALANCED, DIM, LOSSES, rows, value_and_gradients


def component(kind: str, name: str) -> Any:
    """The component of the example on its page."""
    spec = describe(kind, name).example
    spec = {"name": spec} if isinstance(spec, str) else dict(spec)
    torch.manual_seed(0)
    return metricreg.create(kind, spec.pop("name"), **spec)


@dataclass(frozen=True)
class Example:
    """A loss, and a batch that it takes.

    Args:
        loss: where calls leave a state behind, each is on a copy.
        x: `[N, D]`.
        labels: `[N]`, classes 0 to C - 1; None where the loss makes its own.
        y: `[M, D]`; None where the loss compares the batch with itself.
        ref_labels: `[M]`.
    """

    loss: Loss
    x: Tensor
    labels: Tensor | None
    y: Tensor | None = None
    ref_labels: Tensor | None = None

    @property
    def classes(self) -> int | None:
        """How many classes the loss is for; None for any labels."""
        spec = self.loss.to_spec(defaults=True)  # manifold has as many proxies as classes, and calls them K
        found: int | None = getattr(self.loss, "num_classes", None) or spec.get("num_classes") or spec.get("K")
        return found

    @property
    def views(self) -> list[Tensor]:
        """The embeddings."""
        return [self.x] if self.y is None else [self.x, self.y]

    def of(self, x: Tensor, y: Tensor | None = None) -> Example:
        """The same with other embeddings, as leaves."""
        y = None if self.y is None else x.flip(1) if y is None else y
        return replace(self, x=_leaf(x), y=None if y is None else _leaf(y))

    def like(self, **to: Any) -> Example:
        """The same with `Tensor.to` of the embeddings."""
        return self.of(self.x.detach().to(**to), None if self.y is None else self.y.detach().to(**to))

    def labelled(self, labels: Tensor) -> Example:
        """The same with other labels, of the references too."""
        if self.labels is None:
            return self
        return replace(self, labels=labels, ref_labels=None if self.ref_labels is None else labels)

    def first(self, count: int) -> Example:
        """The first rows."""
        some = replace(
            self.of(self.x.detach()[:count], None if self.y is None else self.y.detach()[:count]),
            labels=None if self.labels is None else self.labels[:count],
        )
        return some if self.ref_labels is None else replace(some, ref_labels=self.ref_labels[:count])

    def __call__(self, execution: Execution | None = None, **more: Any) -> tuple[Tensor, Loss]:
        """The value of a copy of the loss, and that copy."""
        loss = copy.deepcopy(self.loss)
        torch.manual_seed(0)
        return self.by(loss, execution=execution, **more), loss

    def by(self, module: Any, **more: Any) -> Any:
        """What a loss, or something that stands for it, makes of the batch."""
        return module(self.x, self.labels, ref_embeddings=self.y, ref_labels=self.ref_labels, **more)

    def result(self, execution: Execution | None = None, **more: Any) -> list[Tensor]:
        """The value, and the gradients of embeddings and parameters."""
        total, loss = self(execution, **more)
        return value_and_gradients(total, [*self.views, *loss.parameters()])


def _leaf(x: Tensor) -> Tensor:
    return x.detach().requires_grad_()


def example(name: str) -> Example:
    """A registered loss, and a batch that it takes."""
    torch.manual_seed(0)
    loss: Loss = LOSSES[name]() if name in LOSSES else component("loss", name)
    x = rows(len(BALANCED))[:, : getattr(loss, "embedding_size", DIM)]
    labels = torch.tensor(BALANCED) % (getattr(loss, "num_classes", None) or 4)
    found = Example(loss, _leaf(x), labels)
    try:
        found()
    except InputError as error:
        if "ref_embeddings" not in str(error):
            raise
        found = replace(found, y=_leaf(rows(len(BALANCED), 1)[:, : x.shape[1]]), ref_labels=labels)
        return _without_labels(found)
    return found


def _without_labels(found: Example) -> Example:
    try:
        found()
    except InputError as error:
        if "makes its own labels" not in str(error):
            raise
        return replace(found, labels=None, ref_labels=None)
    return found
