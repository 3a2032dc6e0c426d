"""Standard output, kept for what a command prints: what anything else writes there goes to standard error."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

import typer

_kept: IO[str] | None = None


def stream() -> IO[str]:
    """Where a command prints: standard output, whatever `sys.stdout` and file descriptor 1 are at the moment."""
    return sys.stdout if _kept is None else _kept


def say(text: str, end: str = "\n") -> None:
    """Print a text of a command's."""
    typer.echo(text + end, file=stream(), nl=False)


@contextmanager
def kept() -> Iterator[None]:
    """While it lasts only `say` and `stream` reach standard output.

    A plugin may print, or have a library in C print, when it is imported or used. What it writes to `sys.stdout` comes
    without control characters.
    """
    global _kept
    if _kept is not None:
        yield
        return
    stdout = sys.stdout
    own = _aside_of(stdout)
    _kept = stdout if own is None else own
    sys.stdout = io.TextIOWrapper(_ToStandardError(), "utf-8", "backslashreplace", write_through=True)
    try:
        yield
    finally:
        sys.stdout, _kept = stdout, None
        if own is not None:
            _back(own)


def _aside_of(stdout: Any) -> IO[str] | None:
    """A stream to where file descriptor 1 leads, which from now on leads to standard error; None if it is not ours."""
    try:
        if stdout.fileno() != 1:
            return None
        stdout.flush()
        try:
            os.fstat(2)
        except OSError:  # standard error is closed: what nobody wants goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        aside = os.dup(1)
        os.dup2(2, 1)
    except (OSError, ValueError, AttributeError):  # no file at all, as in a test
        return None
    line = 1 if os.isatty(aside) else -1
    return open(aside, "w", buffering=line, encoding=stdout.encoding, errors=stdout.errors)


def _back(own: IO[str]) -> None:
    with suppress(OSError):
        os.dup2(own.fileno(), 1)
    try:
        own.close()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), own.fileno())  # what is left in the buffer goes nowhere
            own.close()
        raise


class _ToStandardError(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        text = bytes(data).decode("utf-8", "backslashreplace")
        if sys.stderr is not None:
            sys.stderr.write("".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text))
        return len(data)
