"""A check: one thing that every component of some kinds promises, tried on an example."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

import torch

from metricreg.errors import MetricregError, said_by
from metricreg.registry import KINDS
from metricreg.testing.example import Example, NoExampleError

SAID = 1000
"""Characters of what a component's exception says."""


class CheckError(MetricregError, AssertionError):
    """A component does not keep a promise; `failures` has every check that it failed, with what was found.

    Args:
        owner: which component.
        failures: check → what was found.
    """

    def __init__(self, owner: str, failures: Mapping[str, str]) -> None:
        super().__init__(owner, failures)
        self.owner, self.failures = owner, dict(failures)

    def __str__(self) -> str:
        number = len(self.failures)
        title = f"{self.owner} fails {number} check{'s' * (number != 1)}"
        return "\n\n".join([title, *(f"{name}: {found}" for name, found in self.failures.items())])


class _FoundError(Exception):
    """What a check found."""


class _SkippedError(Exception):
    """Why a check has nothing to look at."""


def fail(found: str, error: BaseException | None = None) -> NoReturn:
    """End a check: the promise does not hold.

    Args:
        found: what was found, with its numbers.
        error: what the component raised, if it did.
    """
    raise _FoundError(found if error is None else f"{found} {said_by(error, SAID)}") from error


def skip(reason: str) -> NoReturn:
    """End a check that has nothing to look at."""
    raise _SkippedError(reason)


@dataclass(frozen=True)
class Outcome:
    """What came of a check.

    Args:
        check: its name.
        status: `failed`, `passed`, or `skipped` where there was nothing to look at.
        reason: why it failed or was skipped.
        error: the exception behind that, if the component raised one.
    """

    check: str
    status: Literal["passed", "failed", "skipped"]
    reason: str = ""
    error: BaseException | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Check:
    """One thing that every component of some kinds promises.

    Args:
        function: tries it on an example; its docstring says what is promised.
        kinds: the kinds of component that it is about.
        mend: what an author does where it does not hold.
        after: names of checks without which this one says nothing new: it is skipped where one of them fails.
        informative: whether it only says what it found, and never fails.
    """

    function: Callable[[Example], None]
    kinds: tuple[str, ...]
    mend: str
    after: tuple[str, ...] = ()
    informative: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return self.function.__name__

    @property
    def promise(self) -> str:
        """What is promised, in a sentence."""
        return " ".join((inspect.getdoc(self.function) or "").split("\n\n")[0].split())

    def outcome(self, example: Example) -> Outcome:
        """What came of it on an example, on which it is tried once."""
        known: dict[str, Outcome] = example.outcomes
        if self.name not in known:
            failed = self._failed_before(example)
            reason = f"{failed} fails, and says what is wrong"
            known[self.name] = Outcome(self.name, "skipped", reason) if failed else self._tried(example)
        return known[self.name]

    def _failed_before(self, example: Example) -> str | None:
        """The name of a check that failed, without which this one says nothing new."""
        for check in (CHECKS[name] for name in self.after if example.kind in CHECKS[name].kinds):
            failed = check._failed_before(example) or (check.outcome(example).status == "failed" and check.name)
            if failed:
                return failed
        return None

    def _tried(self, example: Example) -> Outcome:
        """A component may raise anything: that is a failure, too."""
        devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
        with torch.random.fork_rng(devices), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.function(example)
            except KeyboardInterrupt:
                raise
            except (_SkippedError, NoExampleError) as reason:
                return Outcome(self.name, "skipped", str(reason))
            except _FoundError as found:
                return self._failed(str(found), found.__cause__)
            except BaseException as error:
                return self._failed(f"it raised {said_by(error, SAID)}", error)
        return Outcome(self.name, "passed")

    def _failed(self, found: str, error: BaseException | None) -> Outcome:
        if self.informative:
            return Outcome(self.name, "skipped", found, error)
        return Outcome(self.name, "failed", f"{self.promise}\n  Found: {found}\n  To mend it: {self.mend}", error)

    def __call__(self, example: Example) -> None:
        """Try it on an example.

        Raises:
            CheckError: the promise does not hold.
        """
        found = self.outcome(example)
        if found.status == "failed":
            raise CheckError(str(example), {self.name: found.reason}) from found.error

    def __repr__(self) -> str:
        return self.name


CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order in which they are made."""


def check(
    *kinds: str, mend: str, after: tuple[str, ...] = (), informative: bool = False
) -> Callable[[Callable[[Example], None]], Check]:
    """Make a check of a function.

    Args:
        kinds: the kinds of component that it is about; all if none is given.
        mend: what an author does where it does not hold.
        after: names of checks without which this one says nothing new.
        informative: whether it never fails.
    """

    def made(function: Callable[[Example], None]) -> Check:
        found = Check(function, kinds or KINDS, mend, after, informative)
        CHECKS[found.name] = found
        return found

    return made
