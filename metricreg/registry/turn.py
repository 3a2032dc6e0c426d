"""A turn that one thread takes and others wait for, except where that would never end."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

POLL = 0.01
"""Seconds between two looks at the thread that is waited for."""
LOOKS = 3
"""How often in a row it has to be seen waiting itself."""
WAITS_IN = ("threading", "importlib._bootstrap")
"""Modules of the standard library in whose functions a thread waits: for another thread, for a lock, for an import."""


class Turn:
    """A lock whose holder may wait for a thread that wants it: that one is let in, and told so.

    A plugin that starts a thread while it is imported, and waits for it, would otherwise never be imported if that
    thread looks at the registry.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holder: int | None = None

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Wait for the turn; False if it is another thread's that waits for others, perhaps for this one."""
        if not self._wait():
            yield False
            return
        before, self._holder = self._holder, threading.get_ident()
        try:
            yield True
        finally:
            self._holder = before
            self._lock.release()

    def _wait(self) -> bool:
        seen = 0
        while not self._lock.acquire(timeout=POLL):
            seen = seen + 1 if _waits(self._holder) else 0
            if seen == LOOKS:
                return False
        return True


def _waits(thread: int | None) -> bool:
    """Whether a thread waits for something at this moment."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    return frame is not None and frame.f_globals.get("__name__") in WAITS_IN
