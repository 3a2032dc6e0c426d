"""The process in which steps are made and run: `python -m metricreg.bench.worker`.

It reads a JSON object a line from standard input and answers each with one on standard output, until the input ends.
`{"do": ...}` is one of

- `prepare`: make a step, `{"make": "package.module:function", "arguments": {...}, "inputs": {...}}`, after a small one
  of the same kind was run. The answer has its number, `step`, and what it says of itself, `facts`.
- `time`: run it `count` times; the median of their `seconds`. Of several runs one more, the first, is not counted.
- `memory`: make a step as `prepare` does, and run it once; the peak of its memory in `bytes`.
- `sync`: run it where waiting for the GPU is an error; `said` is that error, or empty.

What goes wrong is answered with `{"failed": "memory" | "user" | "error", "said": ...}`.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from metricreg.bench.inputs import Inputs
from metricreg.bench.resident import offer_to_be_killed, peak_of
from metricreg.bench.step import Step
from metricreg.errors import MetricregError

OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")


class Worker:
    """The steps that were prepared, and what can be done with them."""

    def __init__(self) -> None:
        self.steps: list[tuple[Step, Inputs]] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        does: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "prepare": self.prepare,
            "time": self.time,
            "memory": self.memory,
            "sync": self.sync,
        }
        return does[request["do"]](request)

    def prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a step."""
        step, inputs = _made(request)
        self.steps.append((step, inputs))
        facts = step.facts() | {"threads": torch.get_num_threads()}
        return {"step": len(self.steps) - 1, "facts": facts}

    def time(self, request: dict[str, Any]) -> dict[str, Any]:
        """Time a step."""
        step, inputs = self.steps[request["step"]]
        count: int = request["count"]
        if count > 1 or inputs.device != "cpu":  # what caches and threads take to wake up belongs to nobody
            _timed(step, inputs)
        seconds = [_timed(step, inputs) for _ in range(count)]
        if inputs.device != "cpu":
            torch.cuda.empty_cache()  # the next worker may need it
        return {"seconds": statistics.median(seconds)}

    def memory(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a new step once."""
        step, inputs = _made(request)
        if inputs.device == "cpu":
            return {"bytes": peak_of(step.run), "facts": step.facts()}
        torch.cuda.synchronize(inputs.device)
        torch.cuda.reset_peak_memory_stats(inputs.device)
        before = torch.cuda.memory_allocated(inputs.device)
        step.run()
        torch.cuda.synchronize(inputs.device)
        return {"bytes": torch.cuda.max_memory_allocated(inputs.device) - before, "facts": step.facts()}

    def sync(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a step that has been run before, with no leave to wait for the GPU."""
        step, inputs = self.steps[request["step"]]
        if not inputs.device.startswith("cuda"):
            return {"said": None}
        _timed(step, inputs)
        step.reset()
        torch.cuda.synchronize(inputs.device)
        torch.cuda.set_sync_debug_mode("error")
        try:
            step.run()
        except RuntimeError as error:
            if "synchroniz" not in str(error):
                raise
            return {"said": str(error).split("\n")[0]}
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return {"said": ""}


def _made(request: dict[str, Any]) -> tuple[Step, Inputs]:
    module, _, name = request["make"].partition(":")
    make = getattr(importlib.import_module(module), name)
    inputs = Inputs(**request["inputs"])
    first = make(inputs.small(), **request["arguments"])
    first.run()
    first.reset()
    step: Step = first if inputs.small() == inputs else make(inputs, **request["arguments"])
    return step, inputs


def _timed(step: Step, inputs: Inputs) -> float:
    step.reset()
    wait = inputs.device != "cpu"
    if wait:
        torch.cuda.synchronize(inputs.device)
    start = time.perf_counter()
    step.run()
    if wait:
        torch.cuda.synchronize(inputs.device)
    return time.perf_counter() - start


def failure(error: Exception) -> dict[str, Any]:
    """The answer where something was raised."""
    said = " ".join(str(error).split())[:400] or type(error).__name__
    if isinstance(error, MemoryError) or any(words in said.lower() for words in OUT_OF_MEMORY):
        return {"failed": "memory", "said": said}
    if isinstance(error, MetricregError):
        return {"failed": "user", "said": str(error)}
    return {"failed": "error", "said": f"{type(error).__name__}: {said}"}


def main() -> None:
    """Answer until the input ends."""
    offer_to_be_killed()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what components print is no answer
    sys.stdout = sys.stderr
    warnings.simplefilter("ignore")
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # of a plugin's component, anything
            answer = failure(error)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
