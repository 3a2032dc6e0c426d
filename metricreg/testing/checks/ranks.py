"""Ranks: whether two processes, each with some of the rows, make what one makes of all."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from metricreg.components import Loss
from metricreg.errors import said_by
from metricreg.losses import ContrastiveLoss, MarginLoss, NTXentLoss, TripletMarginLoss
from metricreg.pipeline import Pipeline
from metricreg.testing.check import check, fail, skip
from metricreg.testing.example import Example, state_of
from metricreg.testing.inputs import Inputs
from metricreg.testing.processes import ProcessError, processes
from metricreg.testing.results import LEAVES, Result, difference, named

STEPS = 3
"""Steps of what has a state."""
SLOTS = {"regularizer": "embedding_regularizer"}
"""Where a loss takes a component of a kind, if not in a slot of that name."""
HOSTS: tuple[type[Loss], ...] = (ContrastiveLoss, NTXentLoss, TripletMarginLoss, MarginLoss)
"""Losses in which a component of another kind is tried: on pairs, on all negatives, on triplets, with a divisor."""


@check(
    mend="make everything of what the batch holds, of parameters and buffers, and of torch's random numbers; nothing "
    "of the process, such as its rank, its number or its environment",
    after=(
        "takes_a_batch",
        "is_pure",
        "can_be_pickled",
        "is_restored_by_its_state",
        "draws_by_the_seed",
        "adds_up",
        "is_symmetric_where_marked",
        "is_by_value_where_marked",
        "is_equal_in_tiles",
        "selects_for_each_anchor_by_itself",
    ),
)
def two_processes_agree_with_one(example: Example) -> None:
    """Two processes of torch.distributed, each with some rows, make the value, gradients and state of one with all."""
    if not (dist.is_available() and dist.is_gloo_available()):
        skip("torch.distributed with gloo is not available here")
    found = False
    for where, pipeline in _pipelines(example):
        batches = [example.inputs if step == 0 else example.inputs.again(step) for step in range(STEPS)]
        batches = batches[: STEPS if next(pipeline.buffers(), None) is not None else 1]
        text = pickle.dumps((pipeline, batches))
        torch.manual_seed(0)
        try:
            want = _steps(pipeline, batches)
        except Exception:  # what it is not for
            continue
        found = True
        differs = difference(_of_two(text), want, 1e-9)
        if differs:
            fail(f"{where}{differs}")
    if not found:
        skip("no loss that was tried takes it")


def _pipelines(example: Example) -> Iterator[tuple[str, Pipeline]]:
    """Pipelines in which the component stands."""
    if example.kind == "loss":
        yield "", Pipeline(example.make())
        return
    for host in HOSTS:
        if example.kind == "miner":
            pipeline = Pipeline(host(), example.make())
        else:
            slot: dict[str, Any] = {SLOTS.get(example.kind, example.kind): example.make()}
            pipeline = Pipeline(host(**slot))
        yield f"in {host.__name__}, ", pipeline.double()


def _steps(pipeline: Pipeline, batches: list[Inputs]) -> Result:
    """What some steps make in this process, and the state that they leave."""
    found: Result = {}
    for step, inputs in enumerate(batches):
        pipeline.zero_grad()
        given = {name: value for name, value in vars(inputs.copied()).items() if value is not None}
        for leaf in set(LEAVES) & given.keys():
            given[leaf].requires_grad_()
        made = named(pipeline(**given))
        total = sum(value.sum() for value in made.values())
        if isinstance(total, Tensor) and total.requires_grad:
            torch.autograd.backward(total)
        found |= {f"in step {step + 1} {name}": value.detach() for name, value in made.items()}
        found |= {
            f"in step {step + 1} the gradient of {name}": _gradient(given[name]) for name in LEAVES if name in given
        }
        found |= {
            f"in step {step + 1} the gradient of the parameter {name}": _gradient(parameter)
            for name, parameter in pipeline.named_parameters()
        }
    return found | {f"at the end the state '{name}'": value for name, value in state_of(pipeline).items()}


def _gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad.clone()


def _of_two(text: bytes) -> Result:
    """What two processes make, put together: all that is not of rows is the same in both."""
    try:
        pair = processes(2)
        reasons = pair.call(_why_not, text)
    except ProcessError as error:
        skip(f"two processes cannot be started here: {said_by(error)}")
    if any(reasons):
        skip(f"another process cannot load it: {next(filter(None, reasons))}")
    try:
        one, other = pair.call(_part, text)
    except ProcessError as error:
        fail("of two processes, some raised:", error)
    together: Result = {}
    for name, value in one.items():
        if any(name.endswith(f"the gradient of {leaf}") for leaf in LEAVES):
            together[name] = torch.cat([value, other[name]]) / 2  # which is for DDP, which averages over two
            continue
        differs = difference({name: other[name]}, {name: value}, 1e-9)
        if differs:
            fail(f"on the second of two processes {differs}, as on the first")
        together[name] = value
    return together


def _why_not(text: bytes) -> str | None:
    """In another process, why something cannot be loaded."""
    try:
        pickle.loads(text)
    except Exception as error:
        return said_by(error)
    return None


def _part(text: bytes) -> Result:
    """In one of two processes, what comes of its rows."""
    pipeline, batches = pickle.loads(text)
    rank, cut = dist.get_rank(), len(batches[0]) // 3
    torch.manual_seed(rank)  # what is drawn has to be what the first draws
    return _steps(pipeline, [inputs.each_row(slice(0, cut) if rank == 0 else slice(cut, None)) for inputs in batches])
