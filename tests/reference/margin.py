"""Margin loss, triplet by triplet (Wu et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values
from tests.reference.selection import Chosen


def margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    margin: float = 0.2,
    betas: Sequence[Tensor | float] = (),
    nu: float = 0.0,
) -> dict[str, Values]:
    """[d(a, p) - β + m]₊ + [β - d(a, n) + m]₊ with the beta of each anchor, and ν β of each triplet."""
    d = measure.table(x, y)
    values, penalties, costly = [], [], 0
    for a, p, n in chosen.triplets:
        pull = (measure.farther(d[a][p], betas[a]) + margin).relu()
        push = (measure.farther(betas[a], d[a][n]) + margin).relu()
        costly += int(pull > 0) + int(push > 0)
        values.append((a, pull + push))
        penalties.append((a, nu * torch.as_tensor(betas[a])))
    return {"margin_loss": Values(values, float(costly)), "beta_reg_loss": Values(penalties, float(costly))}
