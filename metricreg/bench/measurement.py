"""What a step takes, beside the products that it cannot do without and beside another step."""

from __future__ import annotations

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from metricreg.bench.inputs import Inputs
from metricreg.bench.memory import available
from metricreg.bench.steps import products_step
from metricreg.bench.worker import Make, StoppedError, Worker

FEWEST = 5
"""Rounds after which the spread can be judged."""
LONG = 2.0
"""Seconds of a step that needs no warming up beyond the small one that every worker does."""
SETTLED = 0.01
"""The spread of a median that is small enough."""


def measure(
    make: Make,
    inputs: Inputs,
    other: Make | None = None,
    *,
    rounds: int | None = None,
    seconds: float = 20.0,
    memory: bool = True,
    time_limit: float = 600.0,
    memory_limit: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Measure a step, each time and each memory in a process of its own.

    Args:
        make: makes the step.
        inputs: on what.
        other: makes the step that it is compared with, in turn.
        rounds: how many; if None, until the median of each ratio is known to 1 %, and for so long as the time lasts.
        seconds: how long, where `rounds` is None; one round is made however long it takes.
        memory: measure memory too.
        time_limit: seconds that one run may take.
        memory_limit: GiB that a process may hold on a CPU; nine tenths of what is available if None.
        environment: variables that the processes have besides those of this one.

    Returns:
        `ms`, `floor_ms` (of the products) and `other_ms`, medians; `over_floor` and `over_other`, medians of the ratios
        of runs made in turn; `spread`, half the 95 % interval of the ratio to the other, or else to the floor, as a
        part of it; `rounds`; `mib` and `other_mib`, the peaks of the memory of a step, without the parameters, which
        take `parameters_mib`; `references`, M of the products; `threads` of torch; `stopped` and `other_stopped`, why
        there is no time or no memory. What there is not is None.

    Raises:
        InputError: the inputs, or the spec, are wrong.
    """
    if inputs.device != "cpu":
        memory_limit = None
    elif memory_limit is None and (free := available()) is not None:
        memory_limit = round(0.9 * free / 2**30, 1)
    makes = {"ours": make} if other is None else {"ours": make, "other": other}
    stopped: dict[str, str] = {}
    facts: dict[str, dict[str, int]] = {}
    worker = partial(Worker, time_limit, memory_limit, environment)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(worker()) for name in (*makes, "floor")}
        for name, of in makes.items():
            with _noted(stopped, name):
                facts[name] = workers[name].prepare(of, inputs)
        ours = facts.get("ours", {})
        if ours.get("references"):
            with suppress(StoppedError):  # without it, there is no ratio to it
                floor = partial(products_step, references=ours["references"])
                facts["floor"] = workers["floor"].prepare(floor, inputs)
        times, late = in_turn({name: workers[name].time for name in facts}, rounds, seconds)
    stopped |= late
    peaks: dict[str, int | None] = {}
    with ExitStack() as stack:
        # all of them start, which takes longest, at once; each then does its step alone
        workers = {name: stack.enter_context(worker()) for name in makes if memory and name not in stopped}
        for name, alone in workers.items():
            with alone, _noted(stopped, name, "memory: "):
                alone.prepare(makes[name], inputs)
                peaks[name] = alone.memory()
    ms = {name: 1000 * statistics.median(found) for name, found in times.items()}
    mib = {name: found / 2**20 for name, found in peaks.items() if found is not None}
    ratios = {name: _ratios(times["ours"], found) for name, found in times.items() if "ours" in times}
    over = {name: statistics.median(found) for name, found in ratios.items()}
    judged = ratios.get("other") or ratios.get("floor") or []
    return {
        "ms": ms.get("ours"),
        "floor_ms": ms.get("floor"),
        "other_ms": ms.get("other"),
        "over_floor": over.get("floor"),
        "over_other": over.get("other"),
        "spread": spread(judged) if len(judged) > 2 else None,
        "rounds": max(map(len, times.values()), default=0),
        "mib": mib.get("ours"),
        "other_mib": mib.get("other"),
        "parameters_mib": ours.get("parameter_bytes", 0) / 2**20,
        "references": ours.get("references", 0),
        "threads": ours.get("threads", 0),
        "stopped": stopped.get("ours"),
        "other_stopped": stopped.get("other"),
    }


@contextmanager
def _noted(stopped: dict[str, str], name: str, what: str = "") -> Iterator[None]:
    try:
        yield
    except StoppedError as error:
        stopped[name] = f"{what}{error}"


def in_turn(
    steps: Mapping[str, Callable[[], float]], rounds: int | None, seconds: float
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Time steps one after the other, round after round, so that what slows the machine slows all of them.

    Args:
        steps: by name, what says how long the step takes now, in seconds.
        rounds: see `measure`.
        seconds: see `measure`.

    Returns:
        Seconds by name and round, of those that came to an end; and of the others, why they did not.
    """
    end = time.monotonic() + seconds
    times: dict[str, list[float]] = {name: [] for name in steps}
    stopped: dict[str, str] = {}

    def turn(names: Iterable[str]) -> None:
        for name in names:
            with _noted(stopped, name):
                times[name].append(steps[name]())
        for name in stopped.keys() & times.keys():
            del times[name]

    turn(list(times))
    if max((found[0] for found in times.values()), default=LONG) < LONG:  # that was to warm up
        times = {name: [] for name in times}
    while times and not _enough(list(times.values()), rounds, end):
        done = len(next(iter(times.values())))
        turn(list(reversed(times)) if done % 2 else list(times))  # there and back again: a drift cancels out
    return times, stopped


def _enough(times: list[list[float]], rounds: int | None, end: float) -> bool:
    done = len(times[0])
    if rounds is not None or done == 0:
        return rounds is not None and done >= rounds
    known = [_ratios(found, times[0]) for found in times[1:]] or times
    return time.monotonic() > end or (done >= FEWEST and all(spread(values) <= SETTLED for values in known))


def _ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(one, other, strict=True)]


def spread(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of a median, as a part of it.

    From the median of the absolute deviations, so that single runs that something disturbed do not widen it.
    """
    middle = statistics.median(values)
    deviation = 1.4826 * statistics.median(abs(value - middle) for value in values)
    return 1.96 * 1.2533 * deviation / math.sqrt(len(values)) / middle


def exponent(points: Iterable[tuple[float, float | None]]) -> float | None:
    """The p of cost = a N^p that fits best; None for fewer than two different sizes N with a cost above 0."""
    logs = [(math.log(n), math.log(cost)) for n, cost in points if cost]
    sizes, costs = [x for x, _ in logs], [y for _, y in logs]
    return statistics.linear_regression(sizes, costs).slope if len(set(sizes)) > 1 else None


def machine(device: str = "cpu") -> dict[str, str | int]:
    """What measures: the name of the GPU, or of the processor with its cores; threads; versions; and the day."""
    name = platform.processor() or platform.machine()
    with suppress(OSError):  # not Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_cpu = f"{name}, {cores} core{'s' * (cores > 1)}"
    return {
        "name": torch.cuda.get_device_name(device) if device.startswith("cuda") else on_cpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "metricreg": version("metricreg"),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
