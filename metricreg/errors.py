"""Everything metricreg raises on purpose. Each error is also the builtin error a caller would expect."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

MAX_PROBLEMS = 100
SHOWN = 100


def cut(text: str, most: int = SHOWN) -> str:
    """A text of at most so many characters, with dots where the rest was."""
    return text if len(text) <= most else text[: most - 3] + "..."


def printable(text: str) -> str:
    """A text with control characters and lone surrogates, which a spec may hold, as escapes: on one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def said(given: object, most: int = 3 * SHOWN) -> str:
    """What an object of somebody else's, such as an exception, says of itself: cut, on one line, whatever it does."""
    try:
        text = str(given)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a plugin's `__str__` may raise anything
        text = "(its text cannot be made)"
    return cut(printable(cut(text, most)), most)


def said_by(error: BaseException, most: int = 3 * SHOWN) -> str:
    """`ValueError: what it says`, of an exception of somebody else's, and of one of metricreg's what it says."""
    if isinstance(error, MetricregError):
        return said(error, most)
    return f"{said(type(error).__name__, SHOWN)}: {said(error, most)}"


def frames_inside() -> int:
    """How many frames of metricreg and torch a warning is given in, so that it names the line that called them."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("metricreg", "torch"):
        level, frame = level + 1, frame.f_back
    return level


class MetricregError(Exception):
    """Base of every error that metricreg raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a spec.

    Args:
        pointer: JSON pointer (RFC 6901) to the offending place; it resolves in the document.
        message: what is wrong, what is allowed, and how to mend it.
        given: the offending value as JSON, cut to 100 characters; None where showing it would not help.
    """

    pointer: str
    message: str
    given: str | None = None

    def __str__(self) -> str:
        shown = "" if self.given is None else f" (given: {self.given})"
        return printable(f"{cut(self.pointer, 3 * SHOWN) or '(top level)'}: {self.message}{shown}")


class SpecError(MetricregError, ValueError):
    """A spec, or an argument of a component, is wrong; `problems` lists everything found."""

    def __init__(self, problems: Iterable[Problem] | str, title: str = "invalid spec") -> None:
        listed = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        self.problems = listed[:MAX_PROBLEMS]
        self.title = title
        super().__init__(self.problems, title)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            (problem,) = self.problems
            where = str(problem) if problem.pointer else printable(problem.message)
            return f"{self.title}: {where}" if self.title else where
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"{self.title}: {len(self.problems)} problems{lines}"


class RegistrationError(MetricregError, TypeError):
    """A class cannot be registered as a component; the message says why."""


class PluginError(MetricregError, RuntimeError):
    """A plugin could not be used; the message names plugin, distribution and cause."""


class PluginWarning(UserWarning):
    """A plugin was left out; everything else works."""


class RenamedWarning(FutureWarning):
    """A component or a parameter is called by a name that it had formerly; the message shows what to write now."""


class NothingToLearnWarning(UserWarning):
    """A pipeline has nothing to learn from: batches without a positive pair, say, or a miner that finds nothing."""


class PerRankWarning(UserWarning):
    """torch.distributed has several ranks, and the loss is of the rows of each alone."""


class RecomputedError(MetricregError, RuntimeError):
    """A loss whose state changed in the forward pass is computed again in the backward pass, as checkpoints do."""


class InputError(MetricregError, ValueError):
    """Embeddings, labels or tuples handed to a component do not fit together."""


class ExperimentError(MetricregError, ValueError):
    """An experiment cannot be run: its data, its encoder or its output folder is not usable."""
