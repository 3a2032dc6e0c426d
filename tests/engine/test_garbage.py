"""What a step has made is gone when it is over, and not when somebody looks for cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from metricreg import Execution
from metricreg.components import proxy_softmax_loss as proxy_softmax
from metricreg.explanation.cost import Cost
from tests.oracle import LOSSES, PAIR_LOSSES, rows


@pytest.fixture(autouse=True)
def no_collection(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 0)
    monkeypatch.setattr(proxy_softmax, "MANY_CLASSES", 1)
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=16)], ids=["dense", "tiled"])
@pytest.mark.parametrize("name", LOSSES)
def test_nothing_is_left_of_a_step(name: str, plan: Execution) -> None:
    loss, x = LOSSES[name]().float(), rows(60, dtype=torch.float32)
    labels = torch.arange(60) % (20 if name in PAIR_LOSSES else 4)
    with Cost() as cost:
        value = loss(x, labels, execution=plan)
        value.backward()  # type: ignore[no-untyped-call]
        assert cost.peak > 0
        del value
        for leaf in [x, *loss.parameters()]:
            leaf.grad = None
    assert cost.live <= sum(buffer.nbytes for buffer in loss.buffers())  # some of which the step has replaced
