"""WorkerProcess: the parent's side of a worker, which it ends where a limit is passed."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from metricreg.bench.inputs import Inputs
from metricreg.bench.resident import available, resident
from metricreg.errors import InputError, MetricregError

POLL = 0.05
START = 120.0
"""Seconds in which a worker has to start and make its step, beside the limit for the step itself."""


class StoppedError(MetricregError):
    """A worker came to no end; the message says why: over a limit, out of memory, or what it raised."""


@dataclass(frozen=True)
class Limits:
    """What a step may take.

    Args:
        seconds: that one run may take.
        gib: of memory that its process may hold; no limit if None.
    """

    seconds: float = 600.0
    gib: float | None = None

    @classmethod
    def of_this_machine(cls, seconds: float = 600.0) -> Limits:
        """Nine tenths of the memory that is available, where that is known."""
        free = available()
        return cls(seconds, None if free is None else round(0.9 * free / 2**30, 1))


@dataclass(frozen=True)
class Subject:
    """What is measured: a function that makes a step, and its arguments.

    Args:
        make: `package.module:function`, called with `Inputs` and the arguments.
        arguments: plain data.
    """

    make: str
    arguments: dict[str, Any]

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> Subject:
        """The objective of a spec."""
        return cls("metricreg.bench.step:of_spec", {"spec": spec})

    @classmethod
    def of_products(cls, references: int) -> Subject:
        """The floor of a loss with so many references."""
        return cls("metricreg.bench.step:of_products", {"references": references})

    def on(self, inputs: Inputs) -> dict[str, Any]:
        """What a worker needs to know to make it."""
        return {"make": self.make, "arguments": self.arguments, "inputs": inputs.as_json()}


class WorkerProcess:
    """A worker, from its start until `close`, which leaving a `with` block does.

    Args:
        limits: what a step may take.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # the worker finds what this process finds
        path = os.pathsep.join(dict.fromkeys(os.path.abspath(entry) for entry in sys.path))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "metricreg.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": path},
        )
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def prepare(self, subject: Subject, inputs: Inputs) -> tuple[int, dict[str, Any]]:
        """Make a step; its number, and what it says of itself."""
        answer = self._ask({"do": "prepare", **subject.on(inputs)}, START + self.limits.seconds)
        return answer["step"], answer["facts"]

    def time(self, step: int, count: int = 1, each: float = 0.0) -> float:
        """Seconds of a step, the median of so many runs of which each took so long before."""
        seconds = self.limits.seconds + 10 * count * each
        return float(self._ask({"do": "time", "step": step, "count": count}, seconds)["seconds"])

    def memory(self, subject: Subject, inputs: Inputs) -> int | None:
        """Bytes that one step needs; to be asked of a process that has done nothing else."""
        found = self._ask({"do": "memory", **subject.on(inputs)}, START + self.limits.seconds)["bytes"]
        return None if found is None else int(found)

    def sync(self, step: int) -> str | None:
        """What CUDA says of a step that may not wait for it; empty if nothing, None where there is no CUDA."""
        said: str | None = self._ask({"do": "sync", "step": step}, self.limits.seconds)["said"]
        return said

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                with suppress(OSError):  # of what was to be written to a process that had died
                    stream.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with suppress(ValueError):  # closed meanwhile
            for line in self.process.stdout:
                self.answers.put(line)
        self.answers.put("")

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise StoppedError(self._death()) from None
        answer = self._answer(seconds)
        if "failed" not in answer:
            return answer
        if answer["failed"] == "user":
            raise InputError(answer["said"])
        raise StoppedError("out of memory" if answer["failed"] == "memory" else answer["said"])

    def _answer(self, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.answers.get(timeout=POLL)
            except queue.Empty:
                held = resident(self.process.pid) if self.limits.gib is not None else None
                if held is not None and held > (self.limits.gib or 0) * 2**30:
                    self.process.kill()
                    raise StoppedError(f"over {self.limits.gib:g} GiB") from None
                if time.monotonic() > end:
                    self.process.kill()
                    raise StoppedError(f"over {self.limits.seconds:g} s") from None
                continue
            if not line:
                raise StoppedError(self._death())
            answer: dict[str, Any] = json.loads(line)
            return answer

    def _death(self) -> str:
        code = self.process.wait()
        if code == -9:
            return "killed, as happens where memory runs out"
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return f"the worker ended with {code}" + (f": {lines[-1][:300]}" if lines else "")
