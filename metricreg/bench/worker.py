"""Worker: a process of its own in which a step is made and run, and which is ended where a limit is passed."""

from __future__ import annotations

import os
import statistics
import timeit
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils.benchmark import timer

from metricreg.bench.inputs import Inputs
from metricreg.bench.memory import limit, peak_of
from metricreg.errors import InputError, MetricregError

Step = Callable[[], object]
Make = Callable[[Inputs], Step]
"""What makes a step of inputs: a function that a worker can import, or a `functools.partial` of one."""

SMALL = 64
"""Samples of a first step, which are enough to import, allocate and start what any step of its kind starts."""
START = 120.0
"""Seconds in which a worker has to start and make its step, beside the limit for the step itself."""
BURST = 0.05
"""Seconds that a timing takes at least: a shorter step is run several times."""
NO_MEMORY = ("allocate memory", "not enough memory", "out of memory", "bad_alloc")


class StoppedError(MetricregError):
    """A worker came to no end; the message says why: over a limit, out of memory, or what it raised."""


class Worker:
    """A process that runs one step, until its `with` block is left.

    Args:
        seconds: that one run may take.
        gib: of memory that the process may hold; no limit if None, on a GPU, and on Windows.
        environment: variables that it has besides those of this process.
    """

    def __init__(
        self, seconds: float = 600.0, gib: float | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._seconds = seconds
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, gib), daemon=True)
        with patch.dict(os.environ, environment or {}):
            self._process.start()
        other.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def prepare(self, make: Make, inputs: Inputs) -> dict[str, Any]:
        """Make the step, after a small one of its kind was run, and run it for the first time.

        Returns:
            `references` M; `parameter_bytes`; and `peak`, the bytes that the step needed, None if the system does not
            say.
        """
        found: dict[str, Any] = self.call(_make, make, inputs, more=START)
        return found | {"peak": self.call(_first)}

    def time(self) -> float:
        """Seconds of the step: the median of a few runs."""
        return float(self.call(_time))

    def call(self, function: Callable[..., Any], *arguments: Any, more: float = 0.0) -> Any:
        """What a function returns that is called there with `{"step": ..., "inputs": ...}` and the arguments.

        Args:
            function: one that can be imported.
            arguments: what can be pickled.
            more: seconds that it may take above those of a run.

        Raises:
            StoppedError: it came to no end.
            InputError: something that it was given is wrong.
        """
        try:
            self._pipe.send((function, arguments))
            if not self._pipe.poll(self._seconds + more):
                self._process.kill()
                raise StoppedError(f"over {self._seconds:g} s")
            found = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode
            died = "killed, as happens where memory runs out" if code == -9 else f"the worker ended with {code}"
            raise StoppedError(died) from None
        if isinstance(found, MetricregError):
            raise found
        return found


# -- in the process ---------------------------------------------------------------------------------------------------


def _serve(pipe: Connection, gib: float | None) -> None:
    with suppress(OSError):  # where memory runs out, the kernel is to end this process before any other
        Path("/proc/self/oom_score_adj").write_text("1000")
    os.dup2(2, 1)  # what components print is no output of ours
    warnings.simplefilter("ignore")
    held: dict[str, Any] = {"gib": gib}
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            function, arguments = pipe.recv()
            try:
                answer = function(held, *arguments)
            except MetricregError as error:
                answer = InputError(str(error))
            except Exception as error:  # of a plugin's component, anything
                answer = StoppedError(_reason(error, gib))
            pipe.send(answer)


def _reason(error: Exception, gib: float | None) -> str:
    said = " ".join(str(error).split())[:400]
    if isinstance(error, MemoryError) or any(words in said.lower() for words in NO_MEMORY):
        return "out of memory" if gib is None else f"over {gib:g} GiB"
    return f"{type(error).__name__}: {said}"


def _make(held: dict[str, Any], make: Make, inputs: Inputs) -> dict[str, int]:
    make(replace(inputs, batch=min(SMALL, inputs.batch)))()
    if held["gib"] is not None and inputs.device == "cpu":
        limit(held["gib"])
    held |= {"step": make(inputs), "inputs": inputs}
    return {name: getattr(held["step"], name, 0) for name in ("references", "parameter_bytes")}


def _first(held: dict[str, Any]) -> int | None:
    step, device = held["step"], held["inputs"].device
    if device == "cpu":
        return peak_of(step)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before


def _time(held: dict[str, Any]) -> float:
    runs = timeit.Timer(held["step"], timer=timer)  # torch's clock, which waits for a GPU
    seconds = [runs.timeit(1)]
    while sum(seconds) < BURST:
        seconds.append(runs.timeit(1))
    if held["inputs"].device != "cpu":
        torch.cuda.empty_cache()  # the next worker may need it
    return statistics.median(seconds[1:] or seconds)  # what caches and threads take to wake up belongs to nobody
