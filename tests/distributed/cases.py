"""What processes are asked to do, and what one process makes of the same."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from metricreg import Execution, Pipeline
from metricreg.engine.module_state import held_by
from metricreg.testing.processes import processes
from tests.examples import Example
from tests.oracle import rows


@dataclass(frozen=True)
class Case:
    """A pipeline, and the batches of some steps.

    Args:
        pipeline: as it is before the first step.
        batches: the arguments of a call for each step; lists of rows are cut.
        seed: of the random numbers, before the first step.
    """

    pipeline: Pipeline
    batches: Sequence[dict[str, Any]]
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """What came of a case: of each step the value, gradients of rows and parameters, and in the end the buffers."""

    values: list[Tensor]
    gradients: list[dict[str, Tensor | None]]
    parameters: list[dict[str, Tensor | None]]
    buffers: dict[str, Tensor]
    state: Tensor


def run(case: Case) -> Found:
    """All steps of a case in this process."""
    pipeline = copy.deepcopy(case.pipeline)
    torch.manual_seed(case.seed)
    found = Found([], [], [], {}, torch.empty(0))
    for batch in case.batches:
        given = {name: _leaf(value) for name, value in batch.items()}
        pipeline.zero_grad()
        value = pipeline(**given)
        value.backward()
        found.values.append(value.detach())
        leaves = {name: t for name, t in given.items() if isinstance(t, Tensor) and t.requires_grad}
        found.gradients.append({name: t.grad for name, t in leaves.items()})
        found.parameters.append({name: _copied(t.grad) for name, t in pipeline.named_parameters()})
    buffers = {name: t.clone() for name, t in held_by(pipeline).items()}
    return replace(found, buffers=buffers, state=torch.get_rng_state())


def run_parts(cases: Sequence[Case], bounds: Sequence[Sequence[int]]) -> list[Found | str]:
    """The same of the rows of this rank, which the bounds of each case tell."""
    rank = dist.get_rank()
    found: list[Found | str] = []
    for case, cut in zip(cases, bounds, strict=True):
        batches = [
            {name: part(value, cut[rank], cut[rank + 1]) for name, value in batch.items()} for batch in case.batches
        ]
        # a seed of its own, for all that is drawn has to come from rank 0's
        try:
            found.append(run(replace(case, batches=batches, seed=case.seed + rank)))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def part(value: Any, start: int, stop: int) -> Any:
    """The rows of one rank."""
    return value[start:stop] if isinstance(value, Tensor) else value


def _leaf(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_()
    return value


def _copied(value: Tensor | None) -> Tensor | None:
    return None if value is None else value.clone()


def differences(whole: Found, parts: Sequence[Found], tolerance: float, factor: float = 1.0) -> list[str]:
    """What ranks have made otherwise than one process.

    Args:
        whole: what one process made.
        parts: what each rank made.
        tolerance: relative.
        factor: by what gradients of rows are to be larger.
    """
    wrong: list[str] = []

    def compare(what: str, got: Tensor | None, want: Tensor | None) -> None:
        got = torch.zeros_like(want) if got is None and want is not None else got
        want = torch.zeros_like(got) if want is None and got is not None else want
        if got is None or want is None:
            return
        if not want.is_floating_point():
            if not torch.equal(got, want):
                wrong.append(f"{what}: {got.tolist()} and not {want.tolist()}")
            return
        got, want = got.detach(), want.detach()
        scale = max(float(want.abs().max()), 1e-4) if want.numel() else 1.0
        off = float((got - want).abs().max()) / scale if want.numel() else 0.0
        if got.shape != want.shape or not off <= tolerance:
            wrong.append(
                f"{what}: off by {off:.2g}, {got.flatten()[:4].tolist()} and not {want.flatten()[:4].tolist()}"
            )

    for step, value in enumerate(whole.values):
        for rank, found in enumerate(parts):
            compare(f"value of step {step} on rank {rank}", found.values[step], value)
            for name, gradient in whole.parameters[step].items():
                compare(f"gradient of {name} in step {step} on rank {rank}", found.parameters[step][name], gradient)
        for name, gradient in whole.gradients[step].items():
            each = [found.gradients[step][name] for found in parts]
            if gradient is None and all(some is None or not bool(some.any()) for some in each):
                continue
            rows = torch.cat([some for some in each if some is not None])
            compare(f"gradient of {name} in step {step}", rows / factor, gradient)
    for rank, found in enumerate(parts):
        for name, buffer in whole.buffers.items():
            compare(f"{name} at the end on rank {rank}", found.buffers[name], buffer)
    if not torch.equal(parts[0].state, whole.state):
        wrong.append("the state of the random numbers")
    return wrong


def cuts(number: int, ranks: int, empty: bool = False) -> list[int]:
    """Where the rows of one rank end and those of the next begin; uneven, and the second rank perhaps without any."""
    found = [0, *(min(number, number * rank // ranks + 1) for rank in range(1, ranks)), number]
    if empty:
        found[2] = found[1]
    return found


def check(cases: Sequence[Case], ranks: int, tolerance: float = 1e-9, factor: float | None = None) -> None:
    """Assert that ranks make of each case what one process makes; first uneven, then with a rank without rows."""
    every = [each for case in cases for each in (case, case)]
    bounds = [
        cuts(len(case.batches[0]["embeddings"]), ranks, empty=ranks > 2 and k % 2 == 1) for k, case in enumerate(every)
    ]
    found = processes(ranks).call(run_parts, every, bounds)
    for k, case in enumerate(every):
        parts = [each[k] for each in found]
        raised = [f"rank {rank}: {part}" for rank, part in enumerate(parts) if isinstance(part, str)]
        assert not raised, (case.pipeline, raised)
        wrong = differences(run(case), parts, tolerance, ranks if factor is None else factor)
        assert not wrong, (case.pipeline, bounds[k], wrong[:5])


def pipeline(loss: Any, execution: Execution | None = None, miner: Any = None) -> Pipeline:
    """A pipeline in float64."""
    return Pipeline(loss, miner, execution).double()


def batches_of(example: Example, steps: int, references: bool = False) -> list[dict[str, Any]]:
    """The batches of some steps, of rows like those of an example."""
    found = []
    for step in range(steps):
        x = rows(len(example.x), step).detach()[:, : example.x.shape[1]]
        y = rows(len(example.x), step + 50).detach()[:, : example.x.shape[1]]
        has_references = references or example.y is not None
        batch = {"embeddings": x, "labels": example.labels}
        if has_references:
            batch |= {"ref_embeddings": y, "ref_labels": example.labels}
        found.append({name: value for name, value in batch.items() if value is not None})
    return found
