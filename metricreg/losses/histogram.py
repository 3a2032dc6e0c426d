"""Histogram loss."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar
from metricreg.batch.tuples import Pairs
from metricreg.components import Distance, Loss, Match, UnreducedLossSlots, symmetric
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity, DotProductSimilarity
from metricreg.functional.soft_histogram import soft_histograms

LEAST = 2.0**-60
"""Width of a bin that is still a number of bins which fits in 64 bits."""


class HistogramLoss(Loss):
    r"""Probability that a negative pair is more similar than a positive pair, from soft histograms of the two.

    $$\sum_{r=0}^{R} h_r^- \sum_{q \le r} h_q^+ \qquad
      h_r = \frac{1}{|S|} \sum_{s \in S} \left[ 1 - \frac{|s - t_r|}{\Delta} \right]_+ \qquad t_r = r \Delta - 1$$

    S are the similarities of all positive pairs of the batch, or of all negative pairs; each is in two bins at most. It
    is a probability of its own, which no reducer changes, and 0 where a batch lacks either kind. A pair counts once,
    however often and in whichever order tuples list it. Ustinova and Lempitsky 2016, "Learning Deep Embeddings with
    Histogram Loss".

    Args:
        n_bins: R, how many bins there are from -1 to 1, at least 1; 100 if neither it nor delta is given.
        delta: the width of a bin, 2 over a whole number; 2 / n_bins if None.
        match: which samples belong together, by their labels; those with the same label if None.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity, DotProductSimilarity)
    default_distance = CosineSimilarity

    def __init__(
        self,
        n_bins: Annotated[int, Field(gt=0)] | None = None,
        delta: Annotated[float, Field(gt=0, le=2)] | None = None,
        match: Match | None = None,
        **slots: Unpack[UnreducedLossSlots],
    ) -> None:
        super().__init__(match=match, **slots)
        self.n_bins = n_bins or (100 if delta is None else round(2.0 / max(delta, LEAST)))
        if delta is not None and not math.isclose(self.n_bins * delta, 2.0, rel_tol=1e-6):
            wrong = "is not 2 over a whole number" if n_bins is None else f"is not 2 / n_bins with n_bins={n_bins}"
            raise ValueError(f"delta={delta:g} {wrong}, as bins have to fill -1 to 1; give n_bins alone")
        if isinstance(self.distance, DotProductSimilarity) and not self.distance.normalize:
            raise ValueError("HistogramLoss needs similarities from -1 to 1: DotProductSimilarity with normalize=True")

    def prepare(self, batch: Batch) -> Batch:
        """Tuples become a set of pairs."""
        if batch.selection is None:
            return batch
        lists = batch.selection.columns()
        anchor, positive, anchor2, negative = (*lists[:2], lists[0], lists[2]) if len(lists) == 3 else lists
        if batch.references is batch.anchors:
            anchor, positive = torch.minimum(anchor, positive), torch.maximum(anchor, positive)
            anchor2, negative = torch.minimum(anchor2, negative), torch.maximum(anchor2, negative)
        return batch.replace(selection=Pairs.of(anchor, positive, anchor2, negative, repeats=False))

    @symmetric
    def terms(self, batch: Batch) -> Terms:
        """`loss`: the histograms `[1, R + 1]` of positive and of negative pairs before division, and their numbers."""
        s = self.distance.between(batch)
        near, among = batch.at_positives(s)
        scale = self.n_bins / 2.0
        each = soft_histograms(s, near, among != 0, batch.negative_mask.as_bool(), 1.0, scale, self.n_bins)
        positives, negatives = (found.sum(0, keepdim=True) for found in each)  # an anchor's own first: rounding
        return {"loss": Scalar((positives, negatives, among.sum(), batch.negatives.sum()), _overlap)}

    def width(self, batch: Batch) -> int:
        """M similarities, or the bins of two histograms."""
        return max(len(batch.references), 2 * (self.n_bins + 1))


def _overlap(positive: Tensor, negative: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    below = (positive / positives.clamp(min=1)).cumsum(1)
    return (negative / negatives.clamp(min=1) * below).sum()
