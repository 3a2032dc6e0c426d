"""Losses with class vectors, loop by loop: of embeddings, class vectors, labels, and how often each counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from tests.reference.distances import Measure, dot_product_measure, inner, lp_measure, norm, unit
from tests.reference.reducers import Values, average, total


# AdaFace, embedding by embedding (Kim et al. 2022).
def adaface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 0.4,
    h: float = 0.333,
    scale: float = 64.0,
    mean: float = 20.0,
    std: float = 100.0,
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's angle and cosine changed by the standardised length."""
    values = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        length = min(max(float(norm(x[a]).detach()), 1e-3), 100.0)
        z = min(max(h * (length - mean) / (std + 1e-3), -1.0), 1.0)
        theta = cosines[labels[a]].clamp(-1, 1).acos()
        own = (theta - margin * z).clamp(0.0, math.pi).cos() - margin * (1.0 + z)
        others = [(scale * (s - own)).exp() for c, s in enumerate(cosines) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# ArcFace, embedding by embedding (Deng et al. 2019).
def arcface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 28.6,
    scale: float = 64.0,
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's angle increased by the margin."""
    m = math.radians(margin)
    values = []
    cosines = dot_product_measure().table(x, proxies)
    for a in range(len(x)):
        logits = cosines[a]
        true = logits[labels[a]]
        theta = true.clamp(-1, 1).acos()
        with_margin = (theta + m).cos() if bool(theta + m <= math.pi) else true - m * math.sin(m)
        others = [(scale * (s - with_margin)).exp() for c, s in enumerate(logits) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# CosFace, embedding by embedding (Wang et al. 2018).
def cosface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 0.35,
    scale: float = 64.0,
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's less the margin."""
    values = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        own = cosines[labels[a]] - margin
        others = [(scale * (s - own)).exp() for c, s in enumerate(cosines) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# CurricularFace, embedding by embedding (Huang et al. 2020).
def curricularface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 28.6,
    scale: float = 64.0,
    t: float = 0.0,
) -> dict[str, Values]:
    """ArcFace with the cosine s of each hard class, which is above that with the margin, replaced by s (t + s)."""
    m = math.radians(margin)
    values = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        true = cosines[labels[a]]
        theta = true.clamp(-1, 1).acos()
        with_margin = (theta + m).cos() if bool(theta + m <= math.pi) else true - m * math.sin(m)
        eased = [s * (t + s) if bool(s > with_margin) else s for s in cosines]
        others = [(scale * (s - with_margin)).exp() for c, s in enumerate(eased) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# Dynamic-margin ArcFace, embedding by embedding (Ha et al. 2020).
def class_margins(
    counts: Sequence[int], bounds: tuple[float, float] = (2.86, 28.6), power: float = 0.25
) -> list[float]:
    """a n^-power + b of each count n, in degrees; a and b from the bounds, which the extreme counts meet."""
    lower, upper = bounds
    if min(counts) == max(counts):
        return [upper for _ in counts]
    a = (upper - lower) / (min(counts) ** -power - max(counts) ** -power)
    b = upper - a * min(counts) ** -power
    return [a * n**-power + b for n in counts]


def dynamic_arcface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margins: Sequence[float] = (),
    scale: float = 64.0,
    sub_centers: int = 3,
) -> dict[str, Values]:
    """Sub-center ArcFace, each embedding with the margin of its class."""
    values = []
    for a, label in enumerate(labels):
        one = subcenter_arcface(x[a : a + 1], proxies, [label], [weights[a]], margins[label], scale, sub_centers)
        values.append((a, one["loss"].entries[0][1]))
    return {"loss": Values(values)}


# Large-margin softmax, embedding by embedding (Liu et al. 2016).
def psi(cosine: Tensor, margin: int) -> Tensor:
    """(-1)^k cos(m theta) - 2k for theta between k pi / m and (k + 1) pi / m."""
    theta = cosine.clamp(-1, 1).acos()
    k = max(k for k in range(margin) if k == 0 or bool(theta > k * math.pi / margin))
    return (-1) ** k * (margin * theta).cos() - 2 * k


def large_margin_softmax(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: int = 4,
    scale: float = 1.0,
    unit_proxies: bool = False,
) -> dict[str, Values]:
    """Cross entropy of |x| |w| cos(theta), psi(theta) for the true class."""
    values = []
    lengths = [1.0 if unit_proxies else norm(w) for w in proxies]
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        y, size = labels[a], scale * norm(x[a])
        true = size * lengths[y] * psi(cosines[y], margin)
        others = [(size * lengths[c] * s - true).exp() for c, s in enumerate(cosines) if c != y]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# Manifold loss, node by node (Aziere and Todorovic 2019).
def manifold(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    lambda_c: float = 1.0,
    alpha: float = 0.8,
    margin: float = 5e-4,
) -> dict[str, Values]:
    """The mean over embeddings of the excess in F and in the cosines of its rows; the walk step by step to its end."""
    nodes = torch.cat([x, proxies.to(x.dtype)])
    cosines, count = dot_product_measure().table(nodes, nodes), len(nodes)
    graph = [
        [(2 * cosines[i][j].relu()).exp() if i != j else x.new_zeros(()) for j in range(count)] for i in range(count)
    ]
    degrees = [total(row) for row in graph]
    step = torch.stack(
        [torch.stack([graph[i][j] / (degrees[i] * degrees[j]).sqrt() for j in range(count)]) for i in range(count)]
    )
    start = torch.eye(count, dtype=x.dtype)
    walk = start
    for _ in range(200):  # alpha to this power is far below rounding
        walk = alpha * step @ walk + (1 - alpha) * start

    def excess(values: list[Tensor], own: int) -> Tensor:
        others = [v - values[own] + margin for k, v in enumerate(values) if k != own]
        return torch.log(1 + total([v.exp() for v in others if bool(v >= 0)]))

    losses = []
    for i in range(len(x)):
        intrinsic = excess(list(walk[i, len(x) :]), labels[i])
        rows = [inner(walk[i], row) / (norm(walk[i]) * norm(row)) for row in walk[len(x) :]]
        losses.append(weights[i] * (intrinsic + lambda_c * excess(rows, labels[i])))
    return {"loss": Values([(0, average(losses))])}


# Normalized softmax loss, embedding by embedding (Zhai and Wu 2018).
def normalized_softmax(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    measure: Measure | None = None,
    temperature: float = 0.05,
) -> dict[str, Values]:
    """-log of the softmax of the similarities to unit proxies over the temperature."""
    measure = dot_product_measure() if measure is None else measure
    values = []
    for a, row in enumerate(measure.table(x, torch.stack([unit(p) for p in proxies]))):
        logits = [measure.similarity(s) / temperature for s in row]
        others = [(u - logits[labels[a]]).exp() for c, u in enumerate(logits) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# P2SGrad, entry by entry (Zhang et al. 2019).
def p2s_grad(x: Tensor, proxies: Tensor, labels: Sequence[int], weights: Sequence[float]) -> dict[str, Values]:
    """The mean over embeddings and classes of the squared errors of the cosines."""
    errors = []
    for a, cosines in enumerate(dot_product_measure().table(x, proxies)):
        errors += [weights[a] * (s - (1.0 if c == labels[a] else 0.0)) ** 2 for c, s in enumerate(cosines)]
    return {"loss": Values([(0, total(errors) / max(len(errors), 1))])}


# Proxy anchor loss, proxy by proxy (Kim et al. 2020).
def proxy_anchor(
    measure: Measure,
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 0.1,
    alpha: float = 32.0,
) -> dict[str, Values]:
    """log(1 + Σ exp(-α(s - m) + w - 1)) over a proxy's positives, log(1 + Σ exp(α(s + m) + w - 1)) over the rest.

    Where all weights w are zero, no embedding counts.
    """
    d = [list(column) for column in zip(*measure.table(x, proxies), strict=True)] if len(x) else [[] for _ in proxies]
    pull, push = [], []
    for c, row in enumerate(d):
        near, far = [], []
        for a in range(len(x)):
            s, factor = row[a], math.exp(weights[a] - 1.0) if any(weights) else 0.0
            if labels[a] == c:
                near.append((alpha * measure.farther(s, margin)).exp() * factor)
            else:
                far.append((alpha * measure.farther(-margin, s)).exp() * factor)
        pull.append((c, total(near).log1p()))
        push.append((c, total(far).log1p()))
    present = len({int(label) for label in labels}) if any(weights) else 0
    return {"pos_loss": Values(pull, divisor=present), "neg_loss": Values(push, divisor=len(proxies))}


# Proxy NCA, embedding by embedding (Movshovitz-Attias et al. 2017), the own proxy among all.
def proxy_nca(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    measure: Measure | None = None,
    softmax_scale: float = 1.0,
) -> dict[str, Values]:
    """-log of the softmax of scaled distances with their sign turned."""
    measure = lp_measure(power=2.0) if measure is None else measure
    values = []
    for a, row in enumerate(measure.table(x, proxies)):
        logits = [softmax_scale * measure.similarity(s) for s in row]
        others = [(u - logits[labels[a]]).exp() for c, u in enumerate(logits) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# SoftTriple, embedding by embedding (Qian et al. 2019).
def soft_triple(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    measure: Measure | None = None,
    centers_per_class: int = 10,
    la: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
) -> dict[str, Values]:
    """Cross entropy of relaxed similarities, the true class's less the margin."""
    measure = dot_product_measure() if measure is None else measure
    values = []
    for a, row in enumerate(measure.table(x, proxies)):
        relaxed = []
        for first in range(0, len(row), centers_per_class):
            own = [measure.similarity(s) for s in row[first : first + centers_per_class]]
            exponentials = [(s / gamma).exp() for s in own]
            relaxed.append(total([e * s for e, s in zip(exponentials, own, strict=True)]) / total(exponentials))
        true = relaxed[labels[a]] - margin
        others = [(la * (s - true)).exp() for c, s in enumerate(relaxed) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


# SphereFace, embedding by embedding (Liu et al. 2017): large-margin softmax with unit class vectors.


sphereface = partial(large_margin_softmax, unit_proxies=True)


# Sub-center ArcFace, embedding by embedding (Deng et al. 2020).
def nearest(cosines: Sequence[Tensor]) -> Tensor:
    """The largest, as the mean of those that are."""
    best = [s for s in cosines if all(bool(s >= t) for t in cosines)]
    return total(best) / len(best)


def subcenter_arcface(
    x: Tensor,
    proxies: Tensor,
    labels: Sequence[int],
    weights: Sequence[float],
    margin: float = 28.6,
    scale: float = 64.0,
    sub_centers: int = 3,
) -> dict[str, Values]:
    """Cross entropy of the scaled cosines of each class's nearest center, the true class's angle increased."""
    m = math.radians(margin)
    values = []
    for a, row in enumerate(dot_product_measure().table(x, proxies)):
        cosines = [nearest(row[i : i + sub_centers]) for i in range(0, len(row), sub_centers)]
        true = cosines[labels[a]]
        theta = true.clamp(-1, 1).acos()
        with_margin = (theta + m).cos() if bool(theta + m <= math.pi) else true - m * math.sin(m)
        others = [(scale * (s - with_margin)).exp() for c, s in enumerate(cosines) if c != labels[a]]
        values.append((a, weights[a] * total(others).log1p()))
    return {"loss": Values(values)}
