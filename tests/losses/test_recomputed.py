"""Losses with a state under torch.utils.checkpoint, which computes a forward pass again in the backward pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

import metricreg
from metricreg import Batch
from metricreg.batch.terms import Scalar
from metricreg.errors import RecomputedError
from metricreg.functional import torch_internals

LABELS = torch.arange(8) % 4
STATEFUL: dict[str, Any] = {
    "cross_batch_memory": {"loss": "ntxent", "embedding_size": 6, "memory_size": 16},
    "dynamic_soft_margin": {},
    "curricularface": {"num_classes": 4, "embedding_size": 6},
    "adaface": {"num_classes": 4, "embedding_size": 6},
}


class Running(metricreg.Loss):
    """One of a plugin, whose value depends on a running mean."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.ones(()))

    def terms(self, batch: Batch) -> dict[str, Any]:
        total = (self.distance.between(batch) * self.mean).sum()
        return {"loss": Scalar((total,), lambda total: total)}

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        if self.training:
            self.mean.mul_(0.5)


def losses() -> dict[str, Any]:
    return {name: lambda name=name: metricreg.create("loss", name, **STATEFUL[name]) for name in STATEFUL} | {
        "a plugin's": Running
    }


def gradient(loss: torch.nn.Module, reentrant: bool | None) -> Tensor:
    torch.manual_seed(0)
    x = torch.randn(8, 6, requires_grad=True)
    value = loss(x, LABELS) if reentrant is None else checkpoint(loss, x, LABELS, use_reentrant=reentrant)
    value.backward()
    assert x.grad is not None
    return x.grad


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("name", losses())
def test_a_loss_that_changes_its_state_says_so(name: str, reentrant: bool) -> None:
    torch.manual_seed(0)
    with pytest.raises(RecomputedError, match=r"Checkpoint the encoder alone"):
        gradient(losses()[name](), reentrant)


@pytest.mark.parametrize("name", losses())
def test_in_evaluation_it_has_the_plain_gradient(name: str) -> None:
    found = []
    for reentrant in (False, None):
        torch.manual_seed(0)
        found.append(gradient(losses()[name]().eval(), reentrant))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["contrastive", "supcon", "multi_similarity"])
def test_a_loss_without_a_state_has_the_plain_gradient(name: str) -> None:
    torch.testing.assert_close(*(gradient(metricreg.create("loss", name), r) for r in (False, None)))


@pytest.mark.parametrize("plan", ["dense", "tiled"])
def test_a_first_step_may_be_checkpointed(plan: str) -> None:
    objective = metricreg.build({"loss": "contrastive", "execution": {"plan": plan}})
    torch.testing.assert_close(*(gradient(objective, reentrant) for reentrant in (False, None)))


class Annealed(metricreg.WrapperLoss):
    """Keeps its state without `update_buffers`."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = metricreg.create("loss", "contrastive")
        self.register_buffer("step", torch.zeros(()))

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        value: Tensor = self.loss(batch, execution=execution) * 0.5**self.step
        self.step += 1
        return value


def test_a_state_of_a_wrapper_is_noticed() -> None:
    with pytest.raises(RecomputedError, match="Annealed"):
        gradient(Annealed(), False)


class Late(Running):
    """Whose state stays as it is in its first steps."""

    steps = 0

    def update_buffers(self, statistics: dict[str, Tensor]) -> None:
        self.steps += 1
        if self.steps > 3:
            self.mean.mul_(0.5)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("reentrant", [False, True])
def test_a_state_that_changes_from_a_later_step_on_is_noticed(reentrant: bool, inside: bool) -> None:
    loss = metricreg.losses.MultipleLosses([Late()]) if inside else Late()
    for _ in range(3):
        gradient(loss, None)
    with pytest.raises(RecomputedError, match="MultipleLosses" if inside else "Late"):
        gradient(loss, reentrant)


def test_a_step_inside_of_a_backward_pass_is_none_again() -> None:
    loss = metricreg.create("loss", "cross_batch_memory", **STATEFUL["cross_batch_memory"])
    loss(torch.randn(8, 6), LABELS)
    x = torch.randn(8, 6, requires_grad=True)
    hidden = x * 2.0

    def hook(gradient: Tensor) -> None:
        loss(torch.randn(8, 6), LABELS)

    hidden.register_hook(hook)
    hidden.sum().backward()
    assert loss.memory.count == 16


def test_where_torch_does_not_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_internals, "_graph_task", None)
    assert not torch_internals.is_recomputing()
    gradient(Running(), False)
