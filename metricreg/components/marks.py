"""Marks: what the author of a component says of a function, on that very function. An override does not inherit it.

The first two are for everybody, and tried in the first step that goes by them: `check_promises.py`. The others say how
the functions that ship are related to each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def symmetric(function: F) -> F:
    """Promise that what is said of a pair is the same with its samples exchanged. Saves half of the work.

    For `Distance.matrix`, and for `Loss.terms` whose every value is of a pair, and the same where its distance is.
    """
    return _marked(function, "symmetric")


def by_value(function: F) -> F:
    """Promise that `Reducer.statistics` are sums over single values, whichever anchors those are of."""
    return _marked(function, "by_value")


def follows_matrix(function: F) -> F:
    """Say of `Distance.between` that it is a quicker way to what `matrix` makes."""
    return _marked(function, "follows_matrix")


def takes_only_logsumexp(function: F) -> F:
    """Say of `LogSumExpLoss.terms` that of negatives it takes what `logsumexp_and_positives` gives, and no more."""
    return _marked(function, "takes_only_logsumexp")


def has_mark(function: Callable[..., Any], mark: Callable[..., Any]) -> bool:
    """Whether a function has a mark of this module."""
    return hasattr(function, f"metricreg_{mark.__name__}")


def _marked(function: F, name: str) -> F:
    function.__dict__[f"metricreg_{name}"] = True
    return function
