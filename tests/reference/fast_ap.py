"""FastAP, anchor by anchor and bin by bin (Cakir et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.reference.distances import Measure
from tests.reference.reducers import Values, total
from tests.reference.selection import Chosen


def fast_ap(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, num_bins: int = 10, largest: float = 4.0
) -> dict[str, Values]:
    """1 - 1/|P| Σₗ h⁺ₗ H⁺ₗ / Hₗ, with triangular bins; a bin at or before which there is nothing has no part."""
    d = measure.table(x, y)
    width = largest / num_bins
    values = []
    for a in range(len(x)):
        if not chosen.positives[a]:
            continue
        precision, found, ranked = [], x.new_zeros(()), x.new_zeros(())
        for edge in range(num_bins + 1):
            pulse = {
                j: torch.relu(1 - (d[a][j] - edge * width).abs() / width)
                for j in chosen.positives[a] + chosen.negatives[a]
            }
            here = total([pulse[p] for p in chosen.positives[a]])
            found = found + here
            ranked = ranked + total(list(pulse.values()))
            if bool(ranked > 0):
                precision.append(here * found / ranked)
        values.append((a, 1 - total(precision) / len(chosen.positives[a])))
    return {"loss": Values(values)}
