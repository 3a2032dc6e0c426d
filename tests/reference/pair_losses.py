"""Losses on pairs and triplets, loop by loop: of a measure, anchors, references, and what is chosen of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.distances import Measure, inner, raised, unit
from tests.reference.matches import jaccard
from tests.reference.reducers import Values, average, total
from tests.reference.selection import Chosen


# Angular loss, positive pair by positive pair (Wang et al. 2017).
def angular(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, alpha: float = 40.0) -> dict[str, Values]:
    """log(1 + Σₙ exp(4 tan²α <a + p, n> - 2 (1 + tan²α) <a, p>)), of unit vectors."""
    xs, ys, squared = [unit(a) for a in x], [unit(b) for b in y], math.tan(math.radians(alpha)) ** 2
    values = []
    for a in range(len(x)):
        for p in chosen.positives[a]:
            near = 2 * (1 + squared) * inner(xs[a], ys[p])
            f = [4 * squared * inner(xs[a] + ys[p], ys[n]) - near for n in chosen.negatives[a]]
            values.append((a, total([v.exp() for v in f]).log1p() + near * 0.0))
    return {"loss": Values(values)}


# Circle loss, anchor by anchor (Sun et al. 2020).
def circle(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, m: float = 0.4, gamma: float = 80.0
) -> dict[str, Values]:
    """log(1 + Σₙ exp(γ αₙ (sₙ - m)) Σₚ exp(-γ αₚ (sₚ - 1 + m))), the weights α without slope, each pair once."""
    s = measure.table(x, y)
    values = []
    for a in range(len(x)):
        pull, push = [], []
        for p in sorted(set(chosen.positives[a])):
            weight = max(1 + m - float(s[a][p].detach()), 0.0)
            pull.append((-gamma * weight * (s[a][p] - (1 - m))).exp())
        for n in sorted(set(chosen.negatives[a])):
            weight = max(float(s[a][n].detach()) + m, 0.0)
            push.append((gamma * weight * (s[a][n] - m)).exp())
        values.append((a, (total(push) * total(pull)).log1p()))
    return {"loss": Values(values)}


# Contrastive loss, pair by pair (Hadsell et al. 2006).
def contrastive(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    pos_margin: float = 0.0,
    neg_margin: float = 1.0,
    power: float = 1.0,
) -> dict[str, Values]:
    """[d(a, p) - m⁺]₊ of each positive pair, [m⁻ - d(a, n)]₊ of each negative pair."""
    d = measure.table(x, y)
    positive, negative = [], []
    for a in range(len(x)):
        pull = [measure.farther(d[a][p], pos_margin).relu() for p in chosen.positives[a]]
        push = [measure.farther(neg_margin, d[a][n]).relu() for n in chosen.negatives[a]]
        positive += [(a, raised(value, power)) for value in pull]
        negative += [(a, raised(value, power)) for value in push]
    return {"pos_loss": Values(positive), "neg_loss": Values(negative)}


snr_contrastive = contrastive
"""The same of another distance (Yuan et al. 2019)."""


# Decoupled contrastive loss, positive pair by positive pair (Yeh et al. 2022).
def decoupled_contrastive(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    temperature: float = 0.1,
    weighting: str | None = None,
    sigma: float = 0.5,
) -> dict[str, Values]:
    """-w s(a, p)/τ + log Σₙ exp(s(a, n)/τ), with w 1 or 2 - exp(s(a, p)/σ) over the mean of that; no log of nothing."""
    s = [[measure.similarity(d) for d in row] for row in measure.table(x, y)]
    pairs = [(a, p) for a in range(len(x)) for p in chosen.positives[a]]
    mean = average([(s[a][p] / sigma).exp() for a, p in pairs])
    values = []
    for a, p in pairs:
        weight = 1.0 if weighting is None else 2.0 - (s[a][p] / sigma).exp() / mean
        value = -weight * s[a][p] / temperature
        if chosen.negatives[a]:
            value = value + total([(s[a][n] / temperature).exp() for n in chosen.negatives[a]]).log()
        values.append((a, value))
    return {"loss": Values(values)}


# Dynamic soft margin loss, triplet by triplet (Zhang and Rusinkiewicz 2019).
def _places(differences: Sequence[Tensor], min_val: float, bins: int) -> list[float]:
    width = -2.0 * min_val / bins
    return [min(max((float(v.detach()) - min_val) / width, 0.0), float(bins)) for v in differences]


def moved(
    before: Sequence[float], differences: Sequence[Tensor], min_val: float = -2.0, momentum: float = 0.01
) -> list[float]:
    """The running histogram after a step; that of the first step is its own."""
    bins, share = len(before) - 1, [0.0] * len(before)
    for place in _places(differences, min_val, bins):
        lower = min(math.floor(place), bins - 1)
        share[lower] += (1.0 - (place - lower)) / len(differences)
        share[lower + 1] += (place - lower) / len(differences)
    if not differences:
        return list(before)
    part = momentum if any(before) else 1.0
    return [(1.0 - part) * b + part * s for b, s in zip(before, share, strict=True)]


def differences_of(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen) -> list[tuple[int, Tensor]]:
    """By how much each triplet's positive is farther than its negative."""
    d = measure.table(x, y)
    return [(a, measure.farther(d[a][p], d[a][n])) for a, p, n in chosen.triplets]


def weighed(
    differences: Sequence[tuple[int, Tensor]], histogram: Sequence[float], min_val: float = -2.0
) -> dict[str, Values]:
    """Each difference times the cumulative histogram at the lower edge of its bin."""
    places = _places([v for _, v in differences], min_val, len(histogram) - 1)
    shares = [sum(histogram[: math.floor(place) + 1]) for place in places]
    return {"loss": Values([(a, share * v) for (a, v), share in zip(differences, shares, strict=True)])}


def dynamic_soft_margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    min_val: float = -2.0,
    num_bins: int = 10,
    momentum: float = 0.01,
    before: Sequence[float] = (),
) -> dict[str, Values]:
    """The loss of a step after which the histogram is `moved`; of the first one, if there is none before."""
    found = differences_of(measure, x, y, chosen)
    histogram = moved(before or [0.0] * (num_bins + 1), [v for _, v in found], min_val, momentum)
    return weighed(found, histogram, min_val)


# Generalized lifted structure loss, anchor by anchor (Hermans et al. 2017).
def generalized_lifted_structure(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, neg_margin: float = 1.0, pos_margin: float = 0.0
) -> dict[str, Values]:
    """[log Σₚ exp(d(a, p) - m⁺) + log Σₙ exp(m⁻ - d(a, n))]₊, each pair once; a sum of nothing is left out."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        far = [measure.farther(d[a][p], pos_margin).exp() for p in sorted(set(chosen.positives[a]))]
        near = [measure.farther(neg_margin, d[a][n]).exp() for n in sorted(set(chosen.negatives[a]))]
        values.append((a, total([total(part).log() for part in (far, near) if part]).relu()))
    return {"loss": Values(values)}


# Histogram loss, pair by pair and node by node (Ustinova and Lempitsky 2016).
def histogram(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, n_bins: int = 100) -> dict[str, Values]:
    """Σᵣ h⁻ᵣ Σ_{q ≤ r} h⁺_q, of pairs as a set; a pair of a batch with itself has no order."""
    s, width = measure.table(x, y), 2 / n_bins

    def densities(partners: list[list[int]]) -> list[Tensor]:
        pairs = {(min(a, j), max(a, j)) if x is y else (a, j) for a in range(len(x)) for j in partners[a]}
        parts: list[list[Tensor]] = [[] for _ in range(n_bins + 1)]
        for a, j in sorted(pairs):
            steps = (s[a][j] + 1) / width
            before = min(int(steps), n_bins - 1)  # the node at or before it
            parts[before].append(1 - (steps - before))
            parts[before + 1].append(steps - before)
        return [total(part) / max(len(pairs), 1) for part in parts]

    positive, negative = densities(chosen.positives), densities(chosen.negatives)
    overlap = [negative[r] * total(positive[: r + 1]) for r in range(n_bins + 1)]
    return {"loss": Values([(0, total(overlap))])}


# Instance loss, anchor by anchor (Zheng et al. 2017), the batch in the place of the class vectors.
def instance(measure: Measure, x: Tensor, references: Tensor, chosen: Chosen, gamma: float = 64.0) -> dict[str, Values]:
    """-log of the softmax's share of the anchor itself and its positives, of those and its negatives."""
    table = [[gamma * measure.similarity(s) for s in row] for row in measure.table(x, references)]
    values = []
    for a in range(len(x)):
        own = [*chosen.positives[a], *([a] if references is x else [])]
        if own and (chosen.positives[a] or chosen.negatives[a]):
            first = table[a][own[0]]
            together = total([(table[a][j] - first).exp() for j in own])
            apart = total([(table[a][j] - first).exp() for j in chosen.negatives[a]])
            values.append((a, (apart / together).log1p()))
    return {"loss": Values(values)}


# Intra-pair variance loss, pair by pair (Yu and Tao 2019).
def intra_pair_variance(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, pos_eps: float = 0.01, neg_eps: float = 0.01
) -> dict[str, Values]:
    """[(1 - ε) μ - s]₊² of positive pairs, [s - (1 + ε) μ]₊² of negative pairs; of distances the other way."""
    d = measure.table(x, y)
    near = [(a, d[a][p]) for a in range(len(x)) for p in chosen.positives[a]]
    far = [(a, d[a][n]) for a in range(len(x)) for n in chosen.negatives[a]]
    near_mean, far_mean = average([v for _, v in near]), average([v for _, v in far])
    if measure.inverted:
        pull = [(a, (1 - pos_eps) * near_mean - v) for a, v in near]
        push = [(a, v - (1 + neg_eps) * far_mean) for a, v in far]
    else:
        pull = [(a, v - (1 + pos_eps) * near_mean) for a, v in near]
        push = [(a, (1 - neg_eps) * far_mean - v) for a, v in far]
    return {
        "pos_loss": Values([(a, v.relu() ** 2) for a, v in pull]),
        "neg_loss": Values([(a, v.relu() ** 2) for a, v in push]),
    }


# Lifted structure loss, positive pair by positive pair (Song et al. 2016).
def lifted_structure(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, neg_margin: float = 1.0, pos_margin: float = 0.0
) -> dict[str, Values]:
    """½ [log(Σₖ exp(m - d(i, k)) + Σₖ exp(m - d(j, k))) + d(i, j) - m⁺]₊²; the log of nothing is -∞."""
    d = measure.table(x, y)
    values = []
    for i in range(len(x)):
        for j in chosen.positives[i]:
            far = [d[i][k] for k in chosen.negatives[i]]
            if x is y:
                far += [d[j][k] for k in chosen.negatives[j]]
            else:
                far += [d[k][j] for k in range(len(x)) for n in chosen.negatives[k] if n == j]
            push = [measure.farther(neg_margin, u).exp() for u in far]
            violation = total(push).log() + measure.farther(d[i][j], pos_margin) if push else d[i][j] * 0.0
            values.append((i, violation.relu() ** 2 / 2))
    return {"loss": Values(values)}


# Margin loss, triplet by triplet (Wu et al. 2017).
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


# Multi-similarity loss, anchor by anchor (Wang et al. 2019).
def multi_similarity(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, alpha: float = 2.0, beta: float = 50.0, base: float = 0.5
) -> dict[str, Values]:
    """1/α log(1 + Σₚ exp(-α(s - λ))) + 1/β log(1 + Σₙ exp(β(s - λ))), each pair once."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        pull = [(alpha * measure.farther(d[a][p], base)).exp() for p in sorted(set(chosen.positives[a]))]
        push = [(beta * measure.farther(base, d[a][n])).exp() for n in sorted(set(chosen.negatives[a]))]
        values.append((a, total(pull).log1p() / alpha + total(push).log1p() / beta))
    return {"loss": Values(values)}


# N-pairs loss, class by class (Sohn 2016).
def pairs_of_classes(chosen: Chosen, labels: Sequence[int]) -> list[tuple[int, int]]:
    """The first anchor of each class that has a positive, and the first of those; in the order of the classes."""
    found: dict[int, tuple[int, int]] = {}
    for a, positives in enumerate(chosen.positives):
        if positives and labels[a] not in found:
            found[labels[a]] = (a, positives[0])
    return [found[label] for label in sorted(found)]


def npairs(measure: Measure, x: Tensor, y: Tensor, pairs: Sequence[tuple[int, int]]) -> dict[str, Values]:
    """log(1 + Σⱼ exp(s(aᵢ, pⱼ) - s(aᵢ, pᵢ))) over the pairs of the other classes; a value a pair."""
    d = measure.table(x, y)
    values = []
    for i, (a, own) in enumerate(pairs):
        s = {j: measure.similarity(d[a][p]) for j, (_, p) in enumerate(pairs)}
        ratios = [(s[j] - measure.similarity(d[a][own])).exp() for j in s if j != i]
        values.append((i, total(ratios).log1p() + s[i] * 0.0))
    return {"loss": Values(values)}


# NT-Xent, positive pair by positive pair (Chen et al. 2020).
def ntxent(measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, temperature: float = 0.07) -> dict[str, Values]:
    """log(1 + Σₙ exp((s(a, n) - s(a, p)) / τ)), which is -log of the softmax of p among p and all n."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        for p in chosen.positives[a]:
            near = measure.similarity(d[a][p])
            ratios = [((measure.similarity(d[a][n]) - near) / temperature).exp() for n in chosen.negatives[a]]
            values.append((a, total(ratios).log1p() + near * 0.0))
    return {"loss": Values(values)}


# Ranked list loss, anchor by anchor (Wang et al. 2019).
def ranked_list(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    margin: float = 0.5,
    Tn: float = 2.0,
    imbalance: float = 0.5,
    alpha: float | None = None,
    Tp: float = 0.0,
) -> dict[str, Values]:
    """(1 - λ) Σ wₚ (d - (α - m)) / Σ wₚ + λ Σ wₙ (α - d) / Σ wₙ, over the pairs that violate, each once."""
    alpha = 1 + margin / 2 if alpha is None else alpha
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        far = [d[a][p] - (alpha - margin) for p in sorted(set(chosen.positives[a]))]
        near = [alpha - d[a][n] for n in sorted(set(chosen.negatives[a]))]
        parts = []
        for excess, temperature, share in ((far, Tp, 1 - imbalance), (near, Tn, imbalance)):
            kept = [v for v in excess if bool(v > 0)]
            weights = [(temperature * v).exp() for v in kept]
            if kept:
                products = [w * v for w, v in zip(weights, kept, strict=True)]
                parts.append(share * total(products) / total(weights))
        values.append((a, total(parts)))
    return {"loss": Values(values)}


# Selectively contrastive triplet loss, triplet by triplet (Xuan et al. 2020).
def selectively_contrastive_triplet(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, hard_weight: float = 1.0, temperature: float = 0.1
) -> dict[str, Values]:
    """λ s(a, n) where the negative is nearer than the positive, else -log softmax of the positive of the two."""
    s = [[measure.similarity(d) for d in row] for row in measure.table(x, y)]
    values = []
    for a, p, n in chosen.triplets:
        if bool(s[a][n] - s[a][p] > 1e-12):  # but for rounding
            values.append((a, hard_weight * s[a][n] + 0.0 * s[a][p]))
        else:
            values.append((a, ((s[a][n] - s[a][p]) / temperature).exp().log1p()))
    return {"loss": Values(values)}


# SigLIP, pair by pair (Zhai et al. 2023).
def siglip(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, log_temperature: Tensor, bias: Tensor
) -> dict[str, Values]:
    """-log sigmoid(t s + b) of positive pairs, -log sigmoid(-t s - b) of negative pairs; over the number of anchors."""
    s = [[measure.similarity(d) for d in row] for row in measure.table(x, y)]

    def values(pairs: list[list[int]], sign: float) -> Values:
        logits = [(a, sign * (log_temperature.exp() * s[a][j] + bias)) for a in range(len(x)) for j in pairs[a]]
        return Values([(a, (-v).exp().log1p() + 0.0 * v) for a, v in logits], float(len(x)))

    return {"pos_loss": values(chosen.positives, 1.0), "neg_loss": values(chosen.negatives, -1.0)}


# SupCon, anchor by anchor (Khosla et al. 2020), and of sets of labels (Zhang and Wu 2022).
def supcon(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    temperature: float = 0.1,
    shared: Callable[[int, int], float] = lambda a, p: 1.0,
) -> dict[str, Values]:
    """-1/|P| Σₚ J(a, p) log(exp(s(a, p) / τ) / Σⱼ exp(s(a, j) / τ)), j over the positives and negatives, each once."""
    d = measure.table(x, y)
    values = []
    for a in range(len(x)):
        positives, negatives = sorted(set(chosen.positives[a])), sorted(set(chosen.negatives[a]))
        s = {j: measure.similarity(d[a][j]) / temperature for j in {*positives, *negatives}}
        terms = [shared(a, p) * total([(s[j] - s[p]).exp() for j in s if j != p]).log1p() for p in positives]
        values.append((a, total(terms) / max(len(positives), 1)))
    return {"loss": Values(values)}


def multi_supcon(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    sets: Sequence[set[int]],
    ref_sets: Sequence[set[int]],
    temperature: float = 0.1,
) -> dict[str, Values]:
    """Of sets of labels, where J is how much of them is shared."""
    return supcon(measure, x, y, chosen, temperature, lambda a, p: jaccard(sets[a], ref_sets[p]))


# Threshold-consistent margin loss, pair by pair (Zhang et al. 2024).
def threshold_consistent_margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    lambda_plus: float = 1.0,
    lambda_minus: float = 1.0,
    margin_plus: float = 0.9,
    margin_minus: float = 0.5,
) -> dict[str, Values]:
    """Means over the positive pairs of at most one similarity, and the negative pairs of at least another."""
    s = measure.table(x, y)
    positive = [s[a][p] for a in range(len(x)) for p in chosen.positives[a]]
    negative = [s[a][n] for a in range(len(x)) for n in chosen.negatives[a]]
    pull = average([margin_plus - v for v in positive if bool(v <= margin_plus)])
    push = average([v - margin_minus for v in negative if bool(v >= margin_minus)])
    return {"loss": Values([(0, lambda_plus * pull + lambda_minus * push)])}


# Triplet margin loss, triplet by triplet (Weinberger and Saul 2009).
def triplet_margin(
    measure: Measure,
    x: Tensor,
    y: Tensor,
    chosen: Chosen,
    margin: float = 0.05,
    swap: bool = False,
    smooth: bool = False,
    power: float = 1.0,
) -> dict[str, Values]:
    """[d(a, p) - d(a, n) + m]₊, or log(1 + exp(...)); with swap the nearer of d(a, n) and d(p, n)."""
    d = measure.table(x, y)
    between = measure.table(y, y) if swap else []
    values = []
    for a, p, n in chosen.triplets:
        to_negative = measure.nearer(d[a][n], between[p][n]) if swap else d[a][n]
        violation = measure.farther(d[a][p], to_negative) + margin
        cost = violation.exp().log1p() if smooth else violation.relu()
        values.append((a, raised(cost, power)))
    return {"loss": Values(values)}


# Tuplet margin loss, positive pair by positive pair (Yu and Tao 2019).
def tuplet_margin(
    measure: Measure, x: Tensor, y: Tensor, chosen: Chosen, margin: float = 5.73, scale: float = 64.0
) -> dict[str, Values]:
    """log(1 + Σₙ exp(s (cos θₙ - cos(θₚ - β)))); parallel vectors have the angle 0 or π, without slope."""
    cosine = measure.table(x, y)
    values = []
    for a in range(len(x)):
        for p in chosen.positives[a]:
            c = cosine[a][p]
            if bool(1 - c.abs() < 1e-15):
                near = c * math.cos(math.radians(margin))
            else:
                near = torch.cos(torch.acos(c) - math.radians(margin))
            ratios = [(scale * (cosine[a][n] - near)).exp() for n in chosen.negatives[a]]
            values.append((a, total(ratios).log1p() + near * 0.0))
    return {"loss": Values(values)}
