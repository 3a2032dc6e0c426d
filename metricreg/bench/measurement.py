"""Measurement: what a subject takes on given inputs, beside the products it cannot do without and beside another."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from metricreg.bench.inputs import Inputs
from metricreg.bench.process import Limits, StoppedError, Subject, WorkerProcess
from metricreg.bench.turns import in_turn, ratios, spread

OURS, OTHER, FLOOR = "ours", "other", "floor"


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        limits: of a step.
        rounds: see `in_turn`.
        seconds: see `in_turn`.
        memory: measure memory too.
    """

    limits: Limits
    rounds: int | None = None
    seconds: float = 20.0
    memory: bool = True


@dataclass(frozen=True)
class Measurement:
    """What was found; each number is None where there is none.

    Args:
        ms: of a forward and a backward pass, the median.
        floor_ms: of the products.
        other_ms: of the other subject.
        over_floor: the median of ratios of runs made in turn.
        over_other: likewise.
        spread: of the ratio to the other, or else to the floor: half its 95 % interval, as a part of it.
        rounds: how many.
        mib: the peak of the memory of a step.
        other_mib: of the other subject.
        parameters_mib: what the parameters themselves take, which is not in the peak.
        references: the products are N x references x D.
        threads: of torch.
        stopped: why there is no time, or no memory.
        other_stopped: likewise for the other.
    """

    ms: float | None = None
    floor_ms: float | None = None
    other_ms: float | None = None
    over_floor: float | None = None
    over_other: float | None = None
    spread: float | None = None
    rounds: int = 0
    mib: float | None = None
    other_mib: float | None = None
    parameters_mib: float = 0.0
    references: int = 0
    threads: int = 0
    stopped: str | None = None
    other_stopped: str | None = None


def measure(subject: Subject, inputs: Inputs, plan: Plan, other: Subject | None = None) -> Measurement:
    """Measure a subject, each time and each memory in a process of its own.

    Args:
        subject: what is measured.
        inputs: on what.
        plan: how much.
        other: what it is compared with, in turn.

    Raises:
        InputError: the inputs, or the spec, are wrong.
    """
    stopped: dict[str, str] = {}
    facts: dict[str, Any] = {}
    with ExitStack() as stack:
        subjects = {OURS: subject} | ({} if other is None else {OTHER: other})
        workers = {name: stack.enter_context(WorkerProcess(plan.limits)) for name in (*subjects, FLOOR)}
        runs = {}
        for name, of in subjects.items():
            try:
                step, said = workers[name].prepare(of, inputs)
            except StoppedError as error:
                stopped[name] = str(error)
                continue
            runs[name] = workers[name], step
            facts = facts or said
        if OURS in runs:
            with suppress(StoppedError):  # without it, there is no ratio to it
                step, _ = workers[FLOOR].prepare(Subject.of_products(facts["references"]), inputs)
                runs[FLOOR] = workers[FLOOR], step
        series = in_turn(runs, rounds=plan.rounds, seconds=plan.seconds) if runs else {}
    stopped |= {name: found.stopped for name, found in series.items() if found.stopped is not None}
    weighed = {name: of for name, of in subjects.items() if plan.memory and name not in stopped}
    mib, too_large = _memory(weighed, inputs, plan.limits)
    stopped |= too_large
    ms = {name: None if found.median is None else 1000 * found.median for name, found in series.items()}
    over = {name: series[OURS].over(series[name]) for name in (OTHER, FLOOR) if OURS in series and name in series}
    judged = OTHER if over.get(OTHER) is not None else FLOOR
    pairs = ratios(series[OURS], series[judged]) if over.get(judged) is not None else []
    return Measurement(
        ms=ms.get(OURS),
        floor_ms=ms.get(FLOOR),
        other_ms=ms.get(OTHER),
        over_floor=over.get(FLOOR),
        over_other=over.get(OTHER),
        spread=spread(pairs) if len(pairs) > 2 else None,
        rounds=max((len(found.seconds) for found in series.values()), default=0),
        mib=mib.get(OURS),
        other_mib=mib.get(OTHER),
        parameters_mib=facts.get("parameter_bytes", 0) / 2**20,
        references=facts.get("references", 0),
        threads=facts.get("threads", 0),
        stopped=stopped.get(OURS),
        other_stopped=stopped.get(OTHER),
    )


def _memory(
    subjects: dict[str, Subject], inputs: Inputs, limits: Limits
) -> tuple[dict[str, float | None], dict[str, str]]:
    """MiB of one step of each subject, and why there are none."""
    mib: dict[str, float | None] = {}
    stopped: dict[str, str] = {}
    with ExitStack() as stack:
        # all of them start, which takes longest, at once; each then does its step alone
        workers = {name: stack.enter_context(WorkerProcess(limits)) for name in subjects}
        for name, subject in subjects.items():
            with workers[name] as worker:
                try:
                    found = worker.memory(subject, inputs)
                except StoppedError as error:
                    stopped[name] = f"memory: {error}"
                else:
                    mib[name] = None if found is None else found / 2**20
    return mib, stopped
