"""The memory of this process, as the operating system accounts for it."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PAGES = {
    "given back": {},
    "kept": {"MALLOC_MMAP_THRESHOLD_": str(2**33), "MALLOC_TRIM_THRESHOLD_": str(2**33)},
}
"""What becomes of large blocks that are freed, and the environment that asks glibc for it: their pages are given back
to the system, as they are if nobody asks, and the next step faults them in again; or kept, as by a GPU's allocator."""


def available() -> int | None:
    """Bytes that a new process could have without swapping; None if that is not known."""
    found = [_account("/proc/meminfo", "MemAvailable")]
    with suppress(OSError, ValueError):  # the limit of a container
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(filter(None, found), default=None)


def limit(gib: float) -> None:
    """Have the system refuse this process more memory than that, where it can."""
    with suppress(ImportError):  # Windows
        from resource import RLIMIT_DATA, setrlimit

        setrlimit(RLIMIT_DATA, (int(gib * 2**30),) * 2)


def peak_of(run: Callable[[], object]) -> int | None:
    """Bytes that this process came to hold at most while something ran, above what it held before.

    On Linux the account of the peak is started anew, and code that is read from files meanwhile is not counted.
    Elsewhere it is the peak since the process began, which is right in a fresh one. None where there is no account.
    """
    gc.collect()
    status = "/proc/self/status"
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak_of_all_time(run)
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before is not to be used again unseen
    before, files = (_account(status, name) or 0 for name in ("VmRSS", "RssFile"))
    run()
    return max(0, (_account(status, "VmHWM") or 0) - before - max(0, (_account(status, "RssFile") or 0) - files))


def _account(file: str, name: str) -> int | None:
    """Bytes, from a line such as `VmRSS:  12 kB`; None where the system has no such file."""
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), None)


def _peak_of_all_time(run: Callable[[], object]) -> int | None:
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        run()
        return None
    before = getrusage(RUSAGE_SELF).ru_maxrss
    run()
    return (getrusage(RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
