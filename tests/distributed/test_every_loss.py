"""Every loss over uneven ranks is that of one process with all rows, in value, gradients and state."""

from __future__ import annotations

import copy

import pytest
import torch

import metricreg
from metricreg import Execution, InputError, Pipeline, SpecError
from metricreg.components.signature import parameters_of
from metricreg.registry import default_registry
from metricreg.testing.processes import processes
from tests.checks import shipped
from tests.distributed.calls import value_of_listed
from tests.distributed.cases import Case, batches_of, check, pipeline
from tests.examples import component, example
from tests.oracle import LOSSES, REDUCERS

PLANS = (Execution("dense"), Execution("tiled", tile=3), Execution())
EVERY_LOSS = [*shipped("loss"), *(name for name in LOSSES if " " in name)]
FEW = ("contrastive", "triplet_margin", "ntxent", "margin", "arcface", "proxy_anchor", "lifted_structure")
"""Losses of each way to go over a batch: pairs, triplets, all negatives, a divisor, class vectors, proxies as anchors."""


def steps(loss: metricreg.Loss) -> int:
    """One, or more where there is a state."""
    return 3 if next(loss.buffers(), None) is not None else 1


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_a_loss_in_every_plan(name: str) -> None:
    case = example(name)
    case.loss.train()
    batches = batches_of(case, steps(case.loss))
    check([Case(pipeline(case.loss, plan), batches) for plan in PLANS], 3)


@pytest.mark.parametrize("name", EVERY_LOSS)
def test_a_loss_with_references(name: str) -> None:
    case = example(name)
    batches = batches_of(case, steps(case.loss), references=True)
    made = pipeline(case.loss)
    try:
        made(**batches[0])
    except InputError:
        pytest.skip("it takes none")
    check([Case(made, batches)], 2)


EVERY_REDUCER = {name: make for name, (make, _) in REDUCERS.items()} | {
    "divisor": lambda: metricreg.create("reducer", "divisor"),
    "multiple": lambda: metricreg.create("reducer", "multiple", reducers={"pos_loss": "mean"}, default="avg_non_zero"),
}


@pytest.mark.parametrize("reducer", EVERY_REDUCER)
def test_a_reducer_in_losses_of_each_way(reducer: str) -> None:
    cases = []
    for k, name in enumerate(FEW):
        case = example(name)
        if "reducer" not in parameters_of(default_registry().get("loss", name)):
            continue
        given = {key: part for key, part in case.loss.to_spec().items() if key != "name"}
        try:
            loss = metricreg.create("loss", name, **given | {"reducer": EVERY_REDUCER[reducer]()})
            Pipeline(copy.deepcopy(loss)).double()(**batches_of(case, 1)[0])
        except SpecError:
            continue
        except metricreg.MetricregError:  # without the divisor that it divides by
            assert reducer in ("divisor", "multiple")
            continue
        cases += [Case(pipeline(loss, plan), batches_of(case, 1)) for plan in (PLANS[k % 3], PLANS[(k + 1) % 3])]
    assert cases
    check(cases, 2)


@pytest.mark.parametrize("miner", shipped("miner"))
def test_a_miner_before_losses_of_each_way(miner: str) -> None:
    cases = []
    for k, name in enumerate(("contrastive", "triplet_margin", "ntxent", "arcface")):
        case = example(name)
        batch = batches_of(case, 1)[0]
        if miner == "packaged_triplets":
            batch = {key: value[:9] for key, value in batch.items()}
        made = pipeline(case.loss, PLANS[k % 3], component("miner", miner))
        cases.append(Case(made, [batch, batch]))
    check(cases, 3)


@pytest.mark.parametrize("slot", ["embedding_regularizer", "weight_regularizer"])
def test_penalties_count_once(slot: str) -> None:
    loss = metricreg.create("loss", "arcface", num_classes=4, embedding_size=5, **{slot: "lp"})
    check([Case(pipeline(loss, plan), batches_of(example("arcface"), 1)) for plan in PLANS], 2)


@pytest.mark.parametrize("plan", PLANS)
def test_listed_tuples_count_rows_of_their_rank(plan: Execution) -> None:
    x, labels = batches_of(example("contrastive"), 1)[0].values()
    found = processes(2).call(value_of_listed, plan, x, labels)
    whole = pipeline(metricreg.create("loss", "triplet_margin"), plan)
    tuples = (torch.tensor([0, 1, 4, 5]), torch.tensor([3, 2, 7, 6]), torch.tensor([1, 3, 5, 7]))
    want = whole(x[:8], labels[:8], tuples=tuples).detach()
    for value in found:
        torch.testing.assert_close(value, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FEW)
def test_float32_is_as_near(name: str) -> None:
    case = example(name)
    batches = [
        {k: v.float() if v.is_floating_point() else v for k, v in batch.items()} for batch in batches_of(case, 1)
    ]
    check([Case(Pipeline(case.loss.float(), None, plan), batches) for plan in PLANS[1:]], 2, tolerance=1e-5)
