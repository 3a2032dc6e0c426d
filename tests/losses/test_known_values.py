"""Batches whose loss is known without a loop, most of them where a formula as it is written would overflow or round."""

from __future__ import annotations

from math import cos, exp, log1p, radians, tan

import pytest
import torch

from metricreg import Loss
from metricreg import losses as L
from metricreg.distances import LpDistance
from tests.oracle import value_and_gradients

OPPOSITE = [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]  # of labels 0, 0, 1: the farthest positive, the nearest negative
ONE_ON_ANOTHER = [[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.6, -0.8]]
SLACK = 1.0 - cos(radians(5.73))
AT_A_MARGIN = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
OUTER_BINS = [[0.6, 0.8], [0.6, 0.8], [-0.6, -0.8]]
TINY = 2 / (1 + exp(40.0))  # two negatives 40 temperatures behind

KNOWN: dict[str, tuple[Loss, list[list[float]], list[int], float]] = {
    # anchor 0 has both, anchor 1 a negative at -1, whose weight is 0; anchor 2 has no positive
    "circle at the scale of faces": (
        L.CircleLoss(m=0.25, gamma=256.0),
        OPPOSITE,
        [0, 0, 1],
        (2 * 256.0 * 2.25 * 1.75 + 256.0 * 1.25 * 0.75) / 2,
    ),
    # anchor 0: its positive is opposite, its negative in its place; anchor 1: both are opposite
    "tuplet_margin at a high scale": (
        L.TupletMarginLoss(scale=1000.0),
        OPPOSITE,
        [0, 0, 1],
        (1000.0 * (2.0 - SLACK) + log1p(exp(-1000.0 * SLACK))) / 2,
    ),
    # anchors 0 and 1 have a positive at 2, anchors 0 and 2 a negative at 0
    "ranked_list at high temperatures": (
        L.RankedListLoss(margin=0.4, Tn=1000.0, Tp=1000.0),
        OPPOSITE,
        [0, 0, 1],
        ((2.0 - 0.8) + 1.2) / 3,
    ),
    # squared distances 225 and 0.01
    "nca of a far positive among near negatives": (
        L.NCALoss(distance=LpDistance(power=2, normalize=False)),
        [[0.0], [15.0], [0.1]],
        [0, 0, 1],
        (225.0 - 0.01 + log1p(exp(225.0 - 14.9**2))) / 2,
    ),
    "angular at nearly ninety degrees": (
        L.AngularLoss(alpha=89.0),
        [[1.0, 0.0]] * 3,
        [0, 0, 1],
        8 * tan(radians(89.0)) ** 2 - 2 * (1 + tan(radians(89.0)) ** 2),
    ),
    # a negative is so much nearer than the positives that its weight, which nobody asks for, would overflow; the mean
    # of 1/0.01 and 0, and 0 of the pair itself
    "decoupled_contrastive with weights that differ much": (
        L.DecoupledContrastiveLoss(temperature=0.01, weighting="vmf", sigma=0.01),
        [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
        [0, 0, 1],
        50.0,
    ),
    "fast_ap in the last bin, after or with the negative": (L.FastAPLoss(), OPPOSITE, [0, 0, 1], 0.5),
    "histogram of equal positives and opposite negatives": (L.HistogramLoss(), OUTER_BINS, [0, 0, 1], 0.0),
    "histogram of opposite positives, with one negative of two equal": (L.HistogramLoss(), OUTER_BINS, [0, 1, 0], 1.0),
    "smooth_ap, tiny": (L.SmoothAPLoss(), ONE_ON_ANOTHER, [0, 0, 1, 2], TINY / 1.5),
    # all variants but I are R there
    "pnp O, tiny": (L.PNPLoss(variant="O"), ONE_ON_ANOTHER, [0, 0, 1, 2], TINY),
    "pnp Ds, tiny": (L.PNPLoss(variant="Ds"), ONE_ON_ANOTHER, [0, 0, 1, 2], TINY),
    "pnp Dq, tiny": (L.PNPLoss(variant="Dq"), ONE_ON_ANOTHER, [0, 0, 1, 2], TINY),
    "recall_at_k, nearly whole": (
        L.RecallAtKLoss([20]),
        torch.eye(3)[[0, 0, 1, 2]].tolist(),
        [0, 0, 1, 2],
        1 / (1 + exp(19.0)),
    ),
    "threshold_consistent_margin of pairs at their margins": (
        L.ThresholdConsistentMarginLoss(margin_plus=1.0, margin_minus=0.0),
        AT_A_MARGIN,
        [0, 1, 1],
        0.0,
    ),
    "threshold_consistent_margin of pairs at and beyond their margins": (
        L.ThresholdConsistentMarginLoss(margin_plus=0.5, margin_minus=0.0),
        AT_A_MARGIN,
        [0, 0, 1],
        0.5 + (1.0 + 0.0) / 2,
    ),
    "threshold_consistent_margin of pairs within their margins": (
        L.ThresholdConsistentMarginLoss(),
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]],
        [0, 0, 1],
        0.0,
    ),
    # its own row is a positive of an embedding
    "instance of classes of one": (L.InstanceLoss(gamma=2.0), torch.eye(3).tolist(), [0, 1, 2], log1p(2 * exp(-2.0))),
    "instance of one class": (L.InstanceLoss(), torch.eye(3).tolist(), [5, 5, 5], 0.0),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_value_is_known_in_float32_and_the_gradient_is_finite(name: str) -> None:
    loss, embeddings, labels, want = KNOWN[name]
    x = torch.tensor(embeddings, requires_grad=True)
    total, gradient = value_and_gradients(loss(x, labels), [x])
    assert float(total) == pytest.approx(want, rel=1e-4, abs=0 if want else 1e-6)
    assert gradient.isfinite().all()
    assert (gradient != 0).any() or "tiny" not in name
