"""Losses made of a loss against pytorch-metric-learning, step by step, in value, gradient and memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pl
from torch import Tensor

from metricreg import Execution, InputError
from metricreg import losses as L
from tests import oracle
from tests.oracle import assert_close, value_and_gradients
from tests.parity.counterparts import built, in_pml

SIZE = 8
rows = partial(oracle.rows, dtype=torch.float32, size=SIZE)
PLANS = [Execution("dense"), Execution("tiled", tile=5)]
LOSSES: dict[str, dict[str, Any]] = {  # on pairs, triplets and anchors, and with a parameter
    "contrastive": {},
    "triplet_margin": {},
    "ntxent": {"temperature": 0.5},
    "multi_similarity": {"beta": 10.0},
    "margin": {},
}
MINERS = (None, "multi_similarity", "triplet_margin", "batch_hard")


def both(name: str) -> tuple[Any, Any]:
    """A loss, ours and theirs."""
    spec = {"name": name, **LOSSES[name]}
    return built("loss", spec), in_pml("loss", spec)


def labels_of(count: int, seed: int) -> Tensor:
    return torch.randint(4, (count,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("execution", PLANS, ids=lambda plan: plan.plan)
@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_memory_agrees_at_every_step(name: str, miner: str | None, execution: Execution) -> None:
    mine, other = both(name)
    ours = L.CrossBatchMemoryLoss(mine, SIZE, 30, miner and built("miner", {"name": miner}))
    theirs = pl.CrossBatchMemory(other, SIZE, 30, miner and in_pml("miner", miner))
    for step, count in enumerate([12, 12, 10, 12, 2]):
        x, labels = rows(count, step), labels_of(count, step)
        want = value_and_gradients(theirs(x, labels), [x])
        assert_close(value_and_gradients(ours(x, labels, execution=execution), [x]), want, 1e-5, f"step {step}")
    assert torch.equal(ours.memory.embeddings, theirs.embedding_memory)
    assert torch.equal(ours.memory.labels, theirs.label_memory)
    assert int(ours.memory.enqueued) % 30 == theirs.queue_idx


@pytest.mark.parametrize("execution", PLANS, ids=lambda plan: plan.plan)
@pytest.mark.parametrize("name", LOSSES)
def test_a_memory_agrees_on_masked_rows(name: str, execution: Execution) -> None:
    mine, other = both(name)
    ours, theirs = L.CrossBatchMemoryLoss(mine, SIZE, 17), pl.CrossBatchMemory(other, SIZE, 17)
    for step in range(5):
        x, labels = rows(12, step), labels_of(12, step)
        mask = torch.rand(12, generator=torch.Generator().manual_seed(step)) < 0.5
        want = value_and_gradients(theirs(x, labels, enqueue_mask=mask), [x])
        got = value_and_gradients(ours(x, labels, enqueue_mask=mask, execution=execution), [x])
        assert_close(got, want, 1e-5, f"step {step}")
    assert torch.equal(ours.memory.embeddings, theirs.embedding_memory)


@pytest.mark.parametrize("execution", PLANS, ids=lambda plan: plan.plan)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "margin"])
def test_two_views_agree(name: str, symmetric: bool, execution: Execution) -> None:
    mine, other = both(name)
    ours, theirs = L.SelfSupervisedLoss(mine, symmetric), pl.SelfSupervisedLoss(other, symmetric)
    for step in range(2):
        x, y = rows(12, step), rows(12, step + 10)
        want = value_and_gradients(theirs(x, y), [x, y])
        got = value_and_gradients(ours(x, ref_embeddings=y, execution=execution), [x, y])
        assert_close(got, want, 1e-5, f"step {step}")


# -- where pytorch-metric-learning is wrong ---------------------------------------------------------------------------


def test_nca_in_their_memory_compares_an_anchor_with_itself() -> None:
    x, labels = rows(12, 0), labels_of(12, 0)
    got = L.CrossBatchMemoryLoss(L.NCALoss(), SIZE, 30)(x, labels)
    theirs = pl.CrossBatchMemory(pl.NCALoss(), SIZE, 30)(x, labels)
    alone = pl.NCALoss()(x, labels)  # what the first batch costs without a memory
    torch.testing.assert_close(got, alone)
    assert float((theirs - alone).abs().detach()) > 0.05


def test_their_memory_forgets_on_loading_what_it_holds() -> None:
    made = [pl.CrossBatchMemory(pl.NTXentLoss(), SIZE, 30), L.CrossBatchMemoryLoss(L.NTXentLoss(), SIZE, 30)]
    loaded = [pl.CrossBatchMemory(pl.NTXentLoss(), SIZE, 30), L.CrossBatchMemoryLoss(L.NTXentLoss(), SIZE, 30)]
    x, labels = rows(12, 1), labels_of(12, 1)
    differences = []
    for old, new in zip(made, loaded, strict=True):
        old(rows(12, 0), labels_of(12, 0))
        new.load_state_dict(old.state_dict())
        differences.append(float((old(x, labels) - new(x, labels)).abs().detach()))
    assert differences[0] > 0.1
    assert differences[1] == 0.0


def test_their_memory_counts_as_full_of_zeros_once_no_row_is_enqueued() -> None:
    x, labels, none = rows(12, 0), labels_of(12, 0), torch.zeros(12, dtype=torch.bool)
    theirs, ours = (
        pl.CrossBatchMemory(pl.ContrastiveLoss(), SIZE, 30),
        L.CrossBatchMemoryLoss(L.ContrastiveLoss(), SIZE, 30),
    )
    assert float(theirs(x, labels, enqueue_mask=none).detach()) > 0.5
    assert float(ours(x, labels, enqueue_mask=none).detach()) == 0.0  # there is nothing to compare with


def test_their_memory_takes_tuples_of_the_batch_for_tuples_of_its_places() -> None:
    theirs = pl.CrossBatchMemory(pl.ContrastiveLoss(neg_margin=0), SIZE, 30)
    theirs(rows(12, 0), labels_of(12, 0))
    x, labels, unit = rows(12, 1), torch.arange(12), torch.nn.functional.normalize
    theirs.miner = lambda *_: (torch.tensor([], dtype=torch.long),) * 4  # so that only what is listed counts
    listed = tuple(torch.tensor(column, dtype=torch.long) for column in ([0, 2], [1, 3], [], []))
    value = theirs(x, labels, listed)
    torch.testing.assert_close(value, (unit(x[[0, 2]]) - unit(rows(12, 0)[[1, 3]])).norm(dim=1).mean())
    assert not torch.isclose(value, (unit(x[[0, 2]]) - unit(x[[1, 3]])).norm(dim=1).mean())
    with pytest.raises(InputError, match="takes no tuples"):
        L.CrossBatchMemoryLoss(L.ContrastiveLoss(), SIZE, 30)(x, labels, tuples=listed)


def test_their_memory_fills_in_evaluation_mode_too() -> None:
    theirs, ours = (
        pl.CrossBatchMemory(pl.NTXentLoss(), SIZE, 30).eval(),
        L.CrossBatchMemoryLoss(L.NTXentLoss(), SIZE, 30),
    )
    for loss in (theirs, ours.eval()):
        loss(rows(12, 0), labels_of(12, 0))
    assert (theirs.queue_idx, ours.memory.count) == (12, 0)
