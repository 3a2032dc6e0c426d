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

ROUNDS, SECONDS = 15, 20.0
"""Where it is not said how many rounds: how many there are, and after which time no further one is begun."""


def measure(
    make: Make,
    inputs: Inputs,
    other: Make | None = None,
    *,
    rounds: int | None = None,
    time_limit: float = 600.0,
    memory_limit: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Measure a step, and the one that it is compared with, each in a process of its own.

    Args:
        make: makes the step.
        inputs: on what.
        other: makes the step that it is compared with, in turn.
        rounds: how often both are timed; if None, 15 times, or less often where that takes long.
        time_limit: seconds that one run may take.
        memory_limit: GiB that a process may hold on a CPU; nine tenths of what is available if None.
        environment: variables that the processes have besides those of this one.

    Returns:
        `ms`, `floor_ms` (of the products) and `other_ms`, medians; `over_floor` and `over_other`, medians of the ratios
        of runs made in turn; `spread`, half the 95 % interval of the ratio to the other, or else to the floor, as a
        part of it; `rounds`; `mib` and `other_mib`, the peaks of the memory of a step, without the parameters, which
        take `parameters_mib`; `references`, M of the products; `stopped` and `other_stopped`, why there is no time or
        no memory. What there is not is None.

    Raises:
        InputError: the inputs, or the spec, are wrong.
    """
    if inputs.device == "cpu" and memory_limit is None and (free := available()) is not None:
        memory_limit = round(0.9 * free / 2**30, 1)
    makes = {"ours": make} if other is None else {"ours": make, "other": other}
    facts: dict[str, dict[str, Any]] = {}
    stopped: dict[str, str] = {}
    with ExitStack() as stack:
        start = partial(Worker, time_limit, memory_limit, environment)
        workers = {name: stack.enter_context(start()) for name in (*makes, "floor")}  # at once: it takes longest

        def prepare(name: str, make: Make) -> None:
            with _noted(stopped, name):
                facts[name] = workers[name].prepare(make, inputs)

        for name, of in makes.items():
            prepare(name, of)
        ours = facts.get("ours", {})
        if ours.get("references"):
            prepare("floor", partial(products_step, references=ours["references"]))
        times, late = in_turn({name: workers[name].time for name in facts}, rounds)
    stopped |= late
    ms = {name: 1000 * statistics.median(found) for name, found in times.items()}
    mib = {name: fact["peak"] / 2**20 for name, fact in facts.items() if fact["peak"] is not None}
    ratios: dict[str, list[float]] = {}
    if "ours" in times:
        ratios = {name: [a / b for a, b in zip(times["ours"], found, strict=True)] for name, found in times.items()}
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
        "stopped": stopped.get("ours"),
        "other_stopped": stopped.get("other"),
    }


@contextmanager
def _noted(stopped: dict[str, str], name: str) -> Iterator[None]:
    try:
        yield
    except StoppedError as error:
        stopped[name] = str(error)


def in_turn(
    steps: Mapping[str, Callable[[], float]], rounds: int | None = None
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Time steps one after the other, round after round, so that what slows the machine slows all of them.

    Args:
        steps: by name, what says how long the step takes now, in seconds.
        rounds: see `measure`.

    Returns:
        Seconds by name and round, of those that came to an end; and of the others, why they did not.
    """
    end = math.inf if rounds else time.monotonic() + SECONDS
    times: dict[str, list[float]] = {name: [] for name in steps}
    stopped: dict[str, str] = {}
    for done in range(rounds or ROUNDS):
        if done and time.monotonic() > end:
            break
        for name in list(reversed(times)) if done % 2 else list(times):  # there and back again: a drift cancels out
            with _noted(stopped, name):
                times[name].append(steps[name]())
        times = {name: found for name, found in times.items() if name not in stopped}
    return times, stopped


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
