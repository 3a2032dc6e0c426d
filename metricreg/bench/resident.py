"""The memory of processes, as the operating system accounts for it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def _field(file: Path, name: str) -> int | None:
    """Bytes, from a line such as `VmRSS:  12 kB`; None where the system has no such file."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), None)


def resident(pid: int) -> int | None:
    """Bytes that a process holds in memory; None if that is not known."""
    return _field(PROC / str(pid) / "status", "VmRSS")


def available() -> int | None:
    """Bytes that a new process could have without swapping; None if that is not known."""
    found = [_field(PROC / "meminfo", "MemAvailable"), *map(_number, ("memory.max", "memory/memory.limit_in_bytes"))]
    return min((value for value in found if value is not None), default=None)


def _number(name: str) -> int | None:
    """The limit of the control group, which in a container is what counts."""
    try:
        return int((Path("/sys/fs/cgroup") / name).read_text())
    except (OSError, ValueError):
        return None


def peak_of(run: Callable[[], None]) -> int | None:
    """Bytes that this process came to hold at most while something ran, above what it held before.

    On Linux the account of the peak is started anew, and pages of files that were read meanwhile, which is code that
    ran for the first time, are not counted; of what maps files of data, too little is found. Elsewhere it is the peak
    since the process began, which is right in a process that held less before. None where there is no account. The
    kernel's is exact to some hundred KiB.
    """
    gc.collect()
    if not sys.platform.startswith("linux"):
        return _peak_of_all_time(run)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before is not to be used again unseen
    try:
        (PROC / "self" / "clear_refs").write_text("5")
    except OSError:
        return _peak_of_all_time(run)
    before, files = _here("VmRSS"), _here("RssFile")
    run()
    return max(0, _here("VmHWM") - before - max(0, _here("RssFile") - files))


def _here(name: str) -> int:
    return _field(PROC / "self" / "status", name) or 0


def _peak_of_all_time(run: Callable[[], None]) -> int | None:
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        run()
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    before = getrusage(RUSAGE_SELF).ru_maxrss
    run()
    return (getrusage(RUSAGE_SELF).ru_maxrss - before) * unit


def offer_to_be_killed() -> None:
    """Ask the kernel to end this process before any other where memory runs out."""
    with suppress(OSError):
        (PROC / "self" / "oom_score_adj").write_text("1000")
