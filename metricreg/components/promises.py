"""What the author of a component may promise of a function, in a mark on that very function.

An override does not inherit it. The engine checks each promise in the first step in which it goes by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def symmetric(function: F) -> F:
    """Promise that what is said of a pair is the same with its samples exchanged. Saves half of the work.

    For `Distance.matrix`, and for `Loss.terms` whose every value is of a pair, and the same where its distance is.
    """
    function.__dict__["promises_symmetric"] = True
    return function


def by_value(function: F) -> F:
    """Promise that `Reducer.statistics` are sums over single values, whichever anchors those are of."""
    function.__dict__["promises_by_value"] = True
    return function


def promises(function: Callable[..., Any], what: str) -> bool:
    """Whether a function has a mark, `symmetric` or `by_value`."""
    return hasattr(function, f"promises_{what}")
