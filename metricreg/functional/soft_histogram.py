"""Soft histograms: each value is in the two bins whose middles it is between, by how near it is to each."""

from __future__ import annotations

from torch import Tensor


def soft_histogram(values: Tensor, weight: Tensor | None, shift: float, scale: float, bins: int) -> Tensor:
    """The histogram of each row of values `[A, M]`, `[A, L + 1]`.

    Args:
        values: `[A, M]`. What is beyond the bins is in the first or last.
        weight: `[A, M]`, how much each counts, without a gradient; 1 if None.
        shift: what to add to a value, before
        scale: by what to multiply it, so that bins are at 0 to L.
        bins: L, at least 1.
    """
    place = ((values + shift) * scale).clamp(0.0, float(bins))
    lower = place.detach().floor().clamp(max=bins - 1.0)
    upper_part, entry = place - lower, lower.nan_to_num(0.0).long()
    lower_part = 1.0 - upper_part
    if weight is not None:
        lower_part, upper_part = lower_part * weight, upper_part * weight
    found = values.new_zeros(len(values), bins + 1).scatter_add(1, entry, lower_part)
    return found.scatter_add(1, entry + 1, upper_part)


def soft_histograms(
    values: Tensor, near: Tensor, among: Tensor, negatives: Tensor, shift: float, scale: float, bins: int
) -> tuple[Tensor, Tensor]:
    """Of each anchor the histogram of its positives and that of its negatives, `[A, L + 1]` each.

    Args:
        values: `[A, M]`, those of all references.
        near: `[A, K]`, those of positives.
        among: `[A, K]`, which of those count.
        negatives: `[A, M]`, which references are negatives.
        shift: as in `soft_histogram`, as are
        scale: and
        bins: L.
    """
    of_positives = soft_histogram(near.masked_fill(~among, 0.0), among.to(values.dtype), shift, scale, bins)
    return of_positives, soft_histogram(values, negatives.to(values.dtype), shift, scale, bins)
