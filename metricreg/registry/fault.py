"""What a plugin raised, with the file and the line of its own code."""

from __future__ import annotations

from types import FunctionType, TracebackType

from metricreg.errors import SHOWN, MetricregError, said, said_by


def fault(error: BaseException, module: str) -> str:
    """`KeyError: 'margin' (at acme/hooks.py:12)`: what an exception says, and where the plugin was.

    Args:
        error: what was raised.
        module: a module of the plugin; its own code is that of the same package.
    """
    at = place(error, module)
    return f"{said_by(error)} (at {at})" if at else said_by(error)


def complaint(error: BaseException, module: str) -> str:
    """What one of metricreg's errors says, which names the place itself; of any other, `fault`."""
    return said(error, 10 * SHOWN) if isinstance(error, MetricregError) else fault(error, module)


def place(error: BaseException, module: str) -> str | None:
    """`file:line` of the last frame in the plugin's own code, or of what cannot be parsed in it; None if in none."""
    if isinstance(error, SyntaxError) and error.filename:
        return said(f"{error.filename}:{error.lineno}")
    package = module.partition(".")[0]
    found, step = None, error.__traceback__
    while step is not None:
        file = step.tb_frame.f_code.co_filename
        if _package_of(step) == package and file != "<string>":
            found = f"{file}:{step.tb_lineno}"
        step = step.tb_next
    return None if found is None else said(found)


def _package_of(step: TracebackType) -> str:
    return str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def definition(function: object) -> str:
    """` (at file:line)` of a function; empty if it is not one of Python."""
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType):
        return ""
    return f" (at {said(f'{function.__code__.co_filename}:{function.__code__.co_firstlineno}')})"
