"""Processes of torch.distributed on this machine, which call functions together.

They are started by themselves, not by multiprocessing, so that a script needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import atexit
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, cast

from metricreg.errors import MetricregError, said_by

PATIENCE = timedelta(seconds=60)
"""For how long a process waits for the others, as torch.distributed counts it."""


class ProcessError(MetricregError):
    """A process raised, or ended; the message has its traceback."""


class Processes:
    """A group of processes, gloo on the CPU, one thread each, until it is closed.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        self.size, self.has_raised = size, False
        self._folder = tempfile.TemporaryDirectory()
        meeting = (Path(self._folder.name) / "meeting").resolve().as_uri()
        path = os.pathsep.join(filter(None, sys.path))
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", __name__, meeting, str(size)]
        self._started = [
            subprocess.Popen(
                [*command, str(rank)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=os.getcwd()
            )
            for rank in range(size)
        ]

    def call(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What a function gives in each process, by rank; it is one that they can import.

        Raises:
            ProcessError: it raised in some, or a process ended.
        """
        text = pickle.dumps((function, arguments))
        for each in self._started:
            _write(cast(IO[bytes], each.stdin), text)
        found = [_read(cast(IO[bytes], each.stdout)) for each in self._started]
        results = [(False, "the process ended") if each is None else pickle.loads(each) for each in found]
        raised = [f"rank {rank}: {value}" for rank, (is_well, value) in enumerate(results) if not is_well]
        if raised:
            self.has_raised = True
            raise ProcessError("\n\n".join(raised))
        return [value for _, value in results]

    def close(self) -> None:
        """End them."""
        for each in self._started:
            each.kill()
            each.communicate()
        self._folder.cleanup()


_known: dict[int, Processes] = {}


def processes(size: int) -> Processes:
    """Processes that are started once, and ended with this one; new ones where a call has raised."""
    if size in _known and _known[size].has_raised:
        _known.pop(size).close()
    if size not in _known:
        _known[size] = Processes(size)
        atexit.register(_known[size].close)
    return _known[size]


def _write(to: IO[bytes], text: bytes) -> None:
    try:
        to.write(struct.pack("<Q", len(text)) + text)
        to.flush()
    except BrokenPipeError:
        return  # which reading says


def _read(source: IO[bytes]) -> bytes | None:
    start = source.read(8)
    return source.read(struct.unpack("<Q", start)[0]) if len(start) == 8 else None


def _serve(meeting: str, size: int, rank: int) -> None:
    """Call what is asked for, until nobody asks."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is called may print
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size, timeout=PATIENCE)
    while (text := _read(sys.stdin.buffer)) is not None:
        try:
            function, arguments = pickle.loads(text)
            answer = pickle.dumps((True, function(*arguments)))
        except Exception as error:
            answer = pickle.dumps((False, f"{said_by(error)}\n{traceback.format_exc()}"))
        _write(answers, answer)
    os._exit(0)  # without waiting for the others


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
