"""A plugin's code, run so that nothing of the process is changed by it, and no warning of it is an error."""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from metricreg.errors import PluginWarning

Filter = Any


def _attribute(module: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    return lambda: getattr(module, name), lambda value: setattr(module, name, value)


SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "the working directory": (os.getcwd, os.chdir),
    "the locale": (lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    "the recursion limit": (sys.getrecursionlimit, sys.setrecursionlimit),
    "the handler of SIGINT": (lambda: signal.getsignal(signal.SIGINT), lambda v: signal.signal(signal.SIGINT, v)),
    "the handler of SIGTERM": (lambda: signal.getsignal(signal.SIGTERM), lambda v: signal.signal(signal.SIGTERM, v)),
    "sys.stdout": _attribute(sys, "stdout"),
    "sys.stderr": _attribute(sys, "stderr"),
    "sys.excepthook": _attribute(sys, "excepthook"),
    "threading.excepthook": _attribute(threading, "excepthook"),
    "warnings.showwarning": _attribute(warnings, "showwarning"),
    "the default dtype of torch": (
        lambda: str(sys.modules["torch"].get_default_dtype()) if "torch" in sys.modules else "torch.float32",
        lambda value: sys.modules["torch"].set_default_dtype(getattr(sys.modules["torch"], value[len("torch.") :])),
    ),
}
"""What belongs to the process: how to read it, and how to put it back."""


@contextmanager
def isolated(changed: list[str]) -> Iterator[None]:
    """Run a plugin's code: its warnings are no errors, and what it changes of the process is put back.

    Args:
        changed: gets a name of each thing that was changed.
    """
    with warnings.catch_warnings():
        given = list(warnings.filters)
        _set_filters([("default", *rest) if action == "error" else (action, *rest) for action, *rest in given])
        ours = list(warnings.filters)
        before = _settings()
        try:
            yield
        finally:
            if any(_is_for_all(new) for new in warnings.filters if new not in ours):
                changed.append("what becomes of warnings")
            after = _settings()
            for name, value in before.items():
                if name in after and after[name] != value:
                    changed.append(name)
                    with suppress(Exception):  # a handler is set in the main thread only
                        SETTINGS[name][1](value)


def _settings() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (read, _) in SETTINGS.items():
        with suppress(Exception):  # the folder may have been removed
            found[name] = read()
    return found


def _set_filters(filters: list[Filter]) -> None:
    warnings.resetwarnings()
    warnings.filters.extend(filters)  # type: ignore[attr-defined, unused-ignore] # a list, typed as a sequence


def _is_for_all(each: Filter) -> bool:
    action, message, category, module, _ = each
    return message is None and module is None and (category is Warning or action == "error")


def warn(text: str) -> None:
    """Warn about a plugin. Where filters make errors of warnings it is shown all the same, and nothing is raised."""
    try:
        warnings.warn(PluginWarning(text), stacklevel=2)
    except PluginWarning:
        with warnings.catch_warnings():
            warnings.simplefilter("always", PluginWarning)
            warnings.warn(PluginWarning(text), stacklevel=2)
