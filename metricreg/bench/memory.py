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
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        before = _peak()
        run()
        return None if before is None else (_peak() or 0) - before
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before is not to be used again unseen
    before, files = (_account("/proc/self/status", name) for name in ("VmRSS", "RssFile"))
    run()
    peak, files_now = (_account("/proc/self/status", name) for name in ("VmHWM", "RssFile"))
    return max(0, peak - before - max(0, files_now - files))


def _account(file: str, name: str) -> int:
    """Bytes, from a line such as `VmRSS:  12 kB`; 0 where the system has no such file or line."""
    with suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _peak() -> int | None:
    """The most bytes since the process began."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return None
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
