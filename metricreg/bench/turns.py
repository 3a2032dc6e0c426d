"""Turns: steps timed one after the other, round after round, so that what slows the machine slows all of them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metricreg.bench.process import StoppedError, WorkerProcess

BURST = 0.05
"""Seconds that one turn takes at least: a shorter step is run several times."""
MOST = 200
"""Runs a turn, at most."""
FEWEST = 5
"""Rounds after which the spread can be judged."""
LONG = 2.0
"""Seconds of a step that needs no warming up beyond the small one that every worker does."""
SETTLED = 0.01
"""The spread of a median that is small enough."""


@dataclass
class Series:
    """The times of one step, a round each.

    Args:
        seconds: by round; None where it no longer ran.
        stopped: why it no longer ran, if so.
    """

    seconds: list[float | None] = field(default_factory=list)
    stopped: str | None = None

    @property
    def median(self) -> float | None:
        """Seconds; None if it did not come to an end."""
        found = [s for s in self.seconds if s is not None]
        return statistics.median(found) if found and self.stopped is None else None

    def over(self, other: Series) -> float | None:
        """The median of the ratios of the rounds that both ran in; None if one of the two was stopped."""
        found = ratios(self, other)
        return statistics.median(found) if found and self.stopped is None and other.stopped is None else None


def ratios(one: Series, other: Series) -> list[float]:
    """The ratio of each round in which both ran."""
    pairs = zip(one.seconds, other.seconds, strict=False)
    return [a / b for a, b in pairs if a is not None and b]


def spread(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of a median, as a part of it; infinite for fewer than three values.

    From the median of the absolute deviations, so that single runs that something disturbed do not widen it.
    """
    if len(values) < 3:
        return math.inf
    middle = statistics.median(values)
    deviation = 1.4826 * statistics.median(abs(value - middle) for value in values)
    return 1.96 * 1.2533 * deviation / math.sqrt(len(values)) / middle


def in_turn(
    runs: Mapping[str, tuple[WorkerProcess, int]], *, rounds: int | None = None, seconds: float = 20.0
) -> dict[str, Series]:
    """Time steps in turn; only one computes at a time.

    Args:
        runs: by name, a worker and the number of a step in it.
        rounds: how many; if None, until the median of each one's ratio to the first is known to 1 %, and for so long as
            the time lasts.
        seconds: how long, where `rounds` is None; one round is made however long it takes.
    """
    end = time.monotonic() + seconds
    found = {name: Series() for name in runs}

    def turn(name: str, count: int, each: float) -> float | None:
        if found[name].stopped is None:
            worker, step = runs[name]
            try:
                return worker.time(step, count, each)
            except StoppedError as error:
                found[name].stopped = str(error)
        return None

    took = {name: turn(name, 1, 0.0) for name in runs}
    if max((t for t in took.values() if t is not None), default=0.0) > LONG:
        for name, series in found.items():
            series.seconds.append(took[name])
    else:  # a first run warms up
        took = {name: turn(name, 1, 0.0) for name in runs}
    each = {name: t or 0.0 for name, t in took.items()}
    counts = {name: max(1, min(MOST, math.ceil(BURST / max(t, 1e-9)))) for name, t in each.items()}
    while not _enough(list(found.values()), rounds, end):
        there = len(next(iter(found.values())).seconds) % 2 == 0
        taken = {name: turn(name, counts[name], each[name]) for name in (runs if there else reversed(list(runs)))}
        for name, series in found.items():  # there and back again: a drift cancels out
            series.seconds.append(taken[name])
    return found


def _enough(found: list[Series], rounds: int | None, end: float) -> bool:
    done = len(found[0].seconds)
    running = [series for series in found if series.stopped is None]
    if not running or (rounds is not None and done >= rounds):
        return True
    if rounds is not None or done == 0:
        return False
    first, *others = running
    known = [ratios(other, first) for other in others] or [[s for s in first.seconds if s is not None]]
    return time.monotonic() > end or (done >= FEWEST and all(spread(values) <= SETTLED for values in known))
