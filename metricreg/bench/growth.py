"""Growth: how a cost grows with the size of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterable


def exponent(points: Iterable[tuple[float, float | None]]) -> float | None:
    """The p of cost = a N^p that fits best, by least squares of the logarithms.

    Args:
        points: sizes N and costs; costs that are None or not positive are left out.

    Returns:
        None for fewer than two different sizes.
    """
    logs = [(math.log(n), math.log(cost)) for n, cost in points if cost is not None and n > 0 and cost > 0]
    if len({x for x, _ in logs}) < 2:
        return None
    mean_x = sum(x for x, _ in logs) / len(logs)
    mean_y = sum(y for _, y in logs) / len(logs)
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
