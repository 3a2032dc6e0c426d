"""What `commit` changes is for the next step; the backward pass of this one sees the state of its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import Batch, Execution, Loss, Term
from metricreg.kinds.loss import Terms
from metricreg.running_state import RunningState


class Decaying(Loss):
    """Two terms that carry gradient and read a buffer that every step halves, in place."""

    level: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.tensor(0.5, dtype=torch.float64))

    def terms(self, batch: Batch) -> Terms:
        d = self.distance(batch.anchors, batch.references)
        return {
            "pos_loss": Term(d * d * self.level, batch.positives),
            "neg_loss": Term((1 - d * self.level).relu(), batch.negatives),
        }

    def commit(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        self.level.mul_(0.5)


PLANS = [Execution("dense"), Execution("tiled", tile=1), Execution("tiled", tile=7)]


def two_steps(loss: Loss, execution: Execution) -> list[Tensor]:
    embeddings = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    values = [loss(embeddings, torch.arange(20) % 5, execution=execution) for _ in range(2)]
    sum(values).backward()  # both steps after both commits
    return [*(value.detach() for value in values), embeddings.grad]


@pytest.mark.parametrize("execution", PLANS[1:])
def test_a_step_differentiates_with_the_state_it_was_computed_with(execution: Execution) -> None:
    for found, expected in zip(two_steps(Decaying(), execution), two_steps(Decaying(), PLANS[0]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("execution", PLANS)
def test_state_moves_once_a_step_and_stays_moved_after_the_backward_pass(execution: Execution) -> None:
    loss = Decaying()
    two_steps(loss, execution)
    assert loss.level.item() == 0.125
    assert loss.state_dict()["level"].item() == 0.125


def test_a_loss_without_running_state_keeps_its_buffers_as_they_are() -> None:
    reducer = metricreg.reducers.ClassWeightedReducer([1.0, 2.0])
    before = reducer.weights
    metricreg.losses.ContrastiveLoss(reducer=reducer)(torch.randn(4, 2), [0, 0, 1, 1])
    assert reducer.weights is before


def test_restored_puts_the_present_back_also_after_an_error() -> None:
    loss = Decaying()
    state = RunningState(loss)
    state.part()
    loss.level.zero_()
    with state.restored():
        assert loss.level.item() == 0.5
    assert loss.level.item() == 0.0
    with pytest.raises(ZeroDivisionError), state.restored():
        _ = 1 / 0
    assert loss.level.item() == 0.0
