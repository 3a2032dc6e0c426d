"""Losses with class vectors, loop by loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from tests.reference.distances import Measure, dot_product_measure, inner, lp_measure, norm, unit
from tests.reference.reducers import Values, average, total


@dataclass(frozen=True)
class Classified:
    """Embeddings `[N, D]`, class vectors `[C, D]`, and of each embedding its label and how much it counts."""

    x: Tensor
    proxies: Tensor
    labels: Sequence[int]
    weights: Sequence[float]

    def cosines(self) -> list[tuple[int, list[Tensor]]]:
        """Of each embedding its label, and its cosines to the class vectors."""
        return list(zip(self.labels, dot_product_measure().table(self.x, self.proxies), strict=True))


def cross_entropy(at: Classified, logits: Iterable[Sequence[Tensor]]) -> dict[str, Values]:
    """-log of the softmax of the own class's logit, embedding by embedding."""
    values = []
    for a, row in enumerate(logits):
        own = row[at.labels[a]]
        others = [(u - own).exp() for c, u in enumerate(row) if c != at.labels[a]]
        values.append((a, at.weights[a] * total(others).log1p()))
    return {"loss": Values(values)}


def scaled(scale: float | Tensor, row: Sequence[Tensor], label: int, own: Tensor) -> list[Tensor]:
    """The entries of a row, of the own class another one, times a factor."""
    return [scale * (own if c == label else s) for c, s in enumerate(row)]


def increased(cosine: Tensor, margin: float) -> Tensor:
    """The cosine of the angle and a margin in degrees; beyond 180 of them a line that goes on falling."""
    theta, m = cosine.clamp(-1, 1).acos(), math.radians(margin)
    return (theta + m).cos() if bool(theta + m <= math.pi) else cosine - m * math.sin(m)


# Kim et al. 2022
def adaface(
    at: Classified, margin: float = 0.4, h: float = 0.333, scale: float = 64.0, mean: float = 20.0, std: float = 100.0
) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's angle and cosine changed by the standardised length."""
    logits = []
    for a, (label, cosines) in enumerate(at.cosines()):
        length = min(max(float(norm(at.x[a]).detach()), 1e-3), 100.0)
        z = min(max(h * (length - mean) / (std + 1e-3), -1.0), 1.0)
        theta = cosines[label].clamp(-1, 1).acos()
        own = (theta - margin * z).clamp(0.0, math.pi).cos() - margin * (1.0 + z)
        logits.append(scaled(scale, cosines, label, own))
    return cross_entropy(at, logits)


# Deng et al. 2019
def arcface(at: Classified, margin: float = 28.6, scale: float = 64.0) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's angle increased by the margin."""
    return cross_entropy(at, [scaled(scale, row, y, increased(row[y], margin)) for y, row in at.cosines()])


# Wang et al. 2018
def cosface(at: Classified, margin: float = 0.35, scale: float = 64.0) -> dict[str, Values]:
    """Cross entropy of scaled cosines, the true class's less the margin."""
    return cross_entropy(at, [scaled(scale, row, y, row[y] - margin) for y, row in at.cosines()])


# Huang et al. 2020
def curricularface(at: Classified, margin: float = 28.6, scale: float = 64.0, t: float = 0.0) -> dict[str, Values]:
    """ArcFace with the cosine s of each hard class, which is above that with the margin, replaced by s (t + s)."""
    logits = []
    for label, cosines in at.cosines():
        own = increased(cosines[label], margin)
        logits.append(scaled(scale, [s * (t + s) if bool(s > own) else s for s in cosines], label, own))
    return cross_entropy(at, logits)


# Ha et al. 2020
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
    at: Classified, margins: Sequence[float] = (), scale: float = 64.0, sub_centers: int = 3
) -> dict[str, Values]:
    """Sub-center ArcFace, each embedding with the margin of its class."""
    values = []
    for a, label in enumerate(at.labels):
        alone = replace(at, x=at.x[a : a + 1], labels=[label], weights=[at.weights[a]])
        values.append((a, subcenter_arcface(alone, margins[label], scale, sub_centers)["loss"].entries[0][1]))
    return {"loss": Values(values)}


# Liu et al. 2016
def psi(cosine: Tensor, margin: int) -> Tensor:
    """(-1)^k cos(m theta) - 2k for theta between k pi / m and (k + 1) pi / m."""
    theta = cosine.clamp(-1, 1).acos()
    k = max(k for k in range(margin) if k == 0 or bool(theta > k * math.pi / margin))
    return (-1) ** k * (margin * theta).cos() - 2 * k


def large_margin_softmax(
    at: Classified, margin: int = 4, scale: float = 1.0, unit_proxies: bool = False
) -> dict[str, Values]:
    """Cross entropy of |x| |w| cos(theta), psi(theta) for the true class."""
    lengths, logits = [1.0 if unit_proxies else norm(w) for w in at.proxies], []
    for x, (label, cosines) in zip(at.x, at.cosines(), strict=True):
        own = scaled(scale * norm(x), cosines, label, psi(cosines[label], margin))
        logits.append([length * u for length, u in zip(lengths, own, strict=True)])
    return cross_entropy(at, logits)


sphereface = partial(large_margin_softmax, unit_proxies=True)
"""Liu et al. 2017."""


# Aziere and Todorovic 2019
def manifold(at: Classified, lambda_c: float = 1.0, alpha: float = 0.8, margin: float = 5e-4) -> dict[str, Values]:
    """The mean over embeddings of the excess in F and in the cosines of its rows; the walk step by step to its end."""
    nodes = torch.cat([at.x, at.proxies.to(at.x.dtype)])
    cosines, count = dot_product_measure().table(nodes, nodes), len(nodes)
    graph = [
        [(2 * cosines[i][j].relu()).exp() if i != j else at.x.new_zeros(()) for j in range(count)] for i in range(count)
    ]
    degrees = [total(row) for row in graph]
    step = torch.stack(
        [torch.stack([graph[i][j] / (degrees[i] * degrees[j]).sqrt() for j in range(count)]) for i in range(count)]
    )
    start = torch.eye(count, dtype=at.x.dtype)
    walk = start
    for _ in range(200):  # alpha to this power is far below rounding
        walk = alpha * step @ walk + (1 - alpha) * start

    def excess(values: list[Tensor], own: int) -> Tensor:
        others = [v - values[own] + margin for k, v in enumerate(values) if k != own]
        return torch.log(1 + total([v.exp() for v in others if bool(v >= 0)]))

    losses = []
    for i in range(len(at.x)):
        intrinsic = excess(list(walk[i, len(at.x) :]), at.labels[i])
        rows = [inner(walk[i], row) / (norm(walk[i]) * norm(row)) for row in walk[len(at.x) :]]
        losses.append(at.weights[i] * (intrinsic + lambda_c * excess(rows, at.labels[i])))
    return {"loss": Values([(0, average(losses))])}


# Zhai and Wu 2018
def normalized_softmax(at: Classified, measure: Measure | None = None, temperature: float = 0.05) -> dict[str, Values]:
    """-log of the softmax of the similarities to unit proxies over the temperature."""
    measure = dot_product_measure() if measure is None else measure
    table = measure.table(at.x, torch.stack([unit(p) for p in at.proxies]))
    return cross_entropy(at, [[measure.similarity(s) / temperature for s in row] for row in table])


# Zhang et al. 2019
def p2s_grad(at: Classified) -> dict[str, Values]:
    """The mean over embeddings and classes of the squared errors of the cosines."""
    errors = []
    for a, (label, cosines) in enumerate(at.cosines()):
        errors += [at.weights[a] * (s - (1.0 if c == label else 0.0)) ** 2 for c, s in enumerate(cosines)]
    return {"loss": Values([(0, total(errors) / max(len(errors), 1))])}


# Kim et al. 2020
def proxy_anchor(
    at: Classified, measure: Measure | None = None, margin: float = 0.1, alpha: float = 32.0
) -> dict[str, Values]:
    """log(1 + Σ exp(-α(s - m) + w - 1)) over a proxy's positives, log(1 + Σ exp(α(s + m) + w - 1)) over the rest.

    Where all weights w are zero, no embedding counts.
    """
    measure = dot_product_measure() if measure is None else measure
    d = (
        [list(column) for column in zip(*measure.table(at.x, at.proxies), strict=True)]
        if len(at.x)
        else [[] for _ in at.proxies]
    )
    pull, push = [], []
    for c, row in enumerate(d):
        near, far = [], []
        for a in range(len(at.x)):
            s, factor = row[a], math.exp(at.weights[a] - 1.0) if any(at.weights) else 0.0
            if at.labels[a] == c:
                near.append((alpha * measure.farther(s, margin)).exp() * factor)
            else:
                far.append((alpha * measure.farther(-margin, s)).exp() * factor)
        pull.append((c, total(near).log1p()))
        push.append((c, total(far).log1p()))
    present = len({int(label) for label in at.labels}) if any(at.weights) else 0
    return {"pos_loss": Values(pull, divisor=present), "neg_loss": Values(push, divisor=len(at.proxies))}


# Movshovitz-Attias et al. 2017, the own proxy among all
def proxy_nca(at: Classified, measure: Measure | None = None, softmax_scale: float = 1.0) -> dict[str, Values]:
    """-log of the softmax of scaled distances with their sign turned."""
    measure = lp_measure(power=2.0) if measure is None else measure
    table = measure.table(at.x, at.proxies)
    return cross_entropy(at, [[softmax_scale * measure.similarity(s) for s in row] for row in table])


# Qian et al. 2019
def soft_triple(
    at: Classified,
    measure: Measure | None = None,
    centers_per_class: int = 10,
    la: float = 20.0,
    gamma: float = 0.1,
    margin: float = 0.01,
) -> dict[str, Values]:
    """Cross entropy of relaxed similarities, the true class's less the margin."""
    measure, logits = dot_product_measure() if measure is None else measure, []
    for label, row in zip(at.labels, measure.table(at.x, at.proxies), strict=True):
        relaxed = []
        for first in range(0, len(row), centers_per_class):
            own = [measure.similarity(s) for s in row[first : first + centers_per_class]]
            exponentials = [(s / gamma).exp() for s in own]
            relaxed.append(total([e * s for e, s in zip(exponentials, own, strict=True)]) / total(exponentials))
        logits.append(scaled(la, relaxed, label, relaxed[label] - margin))
    return cross_entropy(at, logits)


# Deng et al. 2020
def nearest(cosines: Sequence[Tensor]) -> Tensor:
    """The largest, as the mean of those that are."""
    best = [s for s in cosines if all(bool(s >= t) for t in cosines)]
    return total(best) / len(best)


def subcenter_arcface(
    at: Classified, margin: float = 28.6, scale: float = 64.0, sub_centers: int = 3
) -> dict[str, Values]:
    """Cross entropy of the scaled cosines of each class's nearest center, the true class's angle increased."""
    logits = []
    for label, row in at.cosines():
        cosines = [nearest(row[i : i + sub_centers]) for i in range(0, len(row), sub_centers)]
        logits.append(scaled(scale, cosines, label, increased(cosines[label], margin)))
    return cross_entropy(at, logits)
