"""MultipleLosses: weighted sums, each with its own miner."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metricreg import Batch, Execution, InputError, Loss, Miner, SpecError
from metricreg import losses as L
from metricreg import miners as M
from metricreg.reducers import DoNothingReducer
from tests.oracle import BALANCED, FEW_PLANS, LOSSES, PAIRS, assert_close, rows, value_and_gradients

LABELS = torch.tensor(BALANCED)
plans = pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())


def two() -> dict[str, Loss]:
    return {"pull": L.ContrastiveLoss(), "push": L.NTXentLoss()}


@plans
@pytest.mark.parametrize("named", [True, False])
def test_it_is_the_weighted_sum(plan: Execution, named: bool) -> None:
    x, parts = rows(10), two()
    loss = L.MultipleLosses(parts, {"pull": 0.5, "push": -2.0})
    if not named:
        loss = L.MultipleLosses(list(parts.values()), [0.5, -2.0])
    for more in ({}, {"tuples": PAIRS}):
        keywords: dict[str, Any] = more | {"execution": plan}
        want = 0.5 * parts["pull"](x, LABELS, **keywords) - 2.0 * parts["push"](x, LABELS, **keywords)
        got = loss(x, LABELS, **keywords)
        assert_close(value_and_gradients(got, [x]), value_and_gradients(want, [x]), 1e-12)


@plans
def test_a_loss_with_a_miner_sees_what_it_mines_and_the_others_everything(plan: Execution) -> None:
    x, parts, miner = rows(10), two(), M.TripletMarginMiner()
    want = value_and_gradients(parts["pull"](x, LABELS, tuples=miner(x, LABELS)) + parts["push"](x, LABELS), [x])
    listed = L.MultipleLosses(list(parts.values()), miners=[miner, None])
    for loss in (L.MultipleLosses(parts, miners={"pull": miner}), listed):
        assert_close(value_and_gradients(loss(x, LABELS, execution=plan), [x]), want, 1e-12)


@plans
def test_losses_with_proxies_pass_gradients_on_to_them(plan: Execution) -> None:
    loss = L.MultipleLosses([LOSSES["arcface"](), LOSSES["proxy_anchor"](), L.SupConLoss()])
    loss(rows(10), LABELS, execution=plan).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in loss.parameters())


def test_its_terms_are_named_after_the_losses() -> None:
    loss = L.MultipleLosses({"a": L.ContrastiveLoss(), "b": L.MultipleLosses([L.NTXentLoss()])})
    assert set(loss.all_terms(Batch.of(rows(10), LABELS))) == {"a/pos_loss", "a/neg_loss", "b/0/loss"}


def test_terms_that_are_not_reduced_cannot_be_summed() -> None:
    with pytest.raises(InputError, match="'1' returns terms"):
        L.MultipleLosses([L.NTXentLoss(), L.NTXentLoss(reducer=DoNothingReducer())])(rows(10), LABELS)


A, B = L.NTXentLoss(), L.SupConLoss()
MINER: Miner = M.BatchHardMiner()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"losses": []}, "at least 1 item"),
        ({"losses": [A, B], "weights": [1.0]}, "weights has 1 entries for 2 losses"),
        ({"losses": [A, B], "weights": {"0": 1.0, "1": 2.0}}, "weights must be a list, as losses is"),
        ({"losses": {"a": A}, "weights": {"a": 1.0, "b": 1.0}}, "weights names 'b', which is no loss"),
        ({"losses": {"a": A, "b": B}, "weights": {"a": 1.0}}, "weights lacks the loss 'b'"),
        ({"losses": {"a": A}, "miners": [MINER]}, "miners must be a mapping, as losses is"),
        ({"losses": [A], "miners": [MINER, None]}, "miners has 2 entries for 1 losses"),
        ({"losses": {"type": A}}, "a loss cannot be named 'type'"),
    ],
)
def test_what_does_not_match_the_losses_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        L.MultipleLosses(**arguments)
