"""Where a random configuration differs from pytorch-metric-learning; test_differences.py shows each difference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tests.parity.configurations import Evaluation


def _anyhow(e: Evaluation) -> float:
    return math.inf


@dataclass(frozen=True)
class Difference:
    """A difference that has a name.

    Args:
        name: what PML does.
        applies: whether it does so to an evaluation in float64.
        example: a configuration, see `draw`, that is apart by this difference alone.
        within: by how much results may differ then, in the measure of `distance_between`.
    """

    name: str
    applies: Callable[[Evaluation], bool]
    example: tuple[str, int]
    within: Callable[[Evaluation], float] = _anyhow


COLUMNS_OF_PAIRS = {"angular", "lifted_structure", "tuplet_margin"}
COLUMNS = COLUMNS_OF_PAIRS | {"circle", "generalized_lifted_structure", "multi_similarity"}
"""Losses whose values PML has as [N, 1]."""
TRIPLETS = {"margin", "triplet_margin"}
PAIRS = {"circle", "contrastive", "generalized_lifted_structure", "intra_pair_variance", "lifted_structure"}
PAIRS |= {"multi_similarity", "ntxent", "snr_contrastive", "supcon", "tuplet_margin"}
"""Losses that want two pairs of one sort."""
SOFTMAX = {"arcface", "cosface", "instance", "normalized_softmax", "npairs", "soft_triple", "sphereface"}
SOFTMAX |= {"large_margin_softmax", "ntxent", "proxy_nca", "nca", "subcenter_arcface", "supcon", "tuplet_margin"}
"""Losses that PML has from differences of logarithms."""


def _of(e: Evaluation, *names: str) -> bool:
    return e.configuration.name in names


def _reduced_by(e: Evaluation, name: str) -> bool:
    return e.configuration.reducer == name


def _nothing_listed(e: Evaluation) -> bool:
    weighed = e.entry.classes or _of(e, "nca")
    return weighed and e.selected is not None and not any(e.selected)


def _repeats(e: Evaluation) -> bool:
    """Whether a pair stands in the tuples twice."""
    return e.selected is not None and any(max(Counter(some).values(), default=0) > 1 for some in e.pairs)


def _lonely_pairs(e: Evaluation) -> bool:
    """Whether a positive pair has no negatives."""
    have = {i for i, _ in e.pairs[1]}
    return any(i not in have and j not in have for i, j in e.pairs[0])


def _has_triplets(e: Evaluation) -> bool:
    """Whether an anchor has both a positive and a negative."""
    return bool({i for i, _ in e.pairs[0]} & {i for i, _ in e.pairs[1]})


def _first_pairs(e: Evaluation, pairs: list[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    """The first pair of each class."""
    return {e.configuration.labels[i]: (i, j) for i, j in reversed(pairs)}


def _in_square(labels: list[int]) -> bool:
    """Whether there are as many rows of each class as classes, one class after the other."""
    count = len(set(labels))
    return labels == [label for label in dict.fromkeys(labels) for _ in range(count)]


def _raw_norm(e: Evaluation) -> float:
    """The order of the norm of a distance that does not normalise; 2 of others."""
    distance = e.configuration.named("distance")
    return 2.0 if distance.get("normalize", True) else float(distance.get("p", 2))


def _ranges_of_all(e: Evaluation) -> bool:
    miner = e.configuration.named("miner")
    return any(miner.get(f"{sort}_strategy") == "all" and f"allowed_{sort}_range" in miner for sort in ("pos", "neg"))


def _tiny_values(e: Evaluation) -> bool:
    """Whether a value is not zero, and less than float32 resolves: not zero to avg_non_zero here, and zero there."""
    skips = "avg_non_zero" in str(e.configuration.named("reducer")) or (
        _reduced_by(e, "default") and type(e.pipeline.loss.reducer).__name__ == "AvgNonZeroReducer"
    )
    return skips and _of(e, *SOFTMAX) and bool(((e.values > 0) & (e.values < 1e-5)).any())


def _ranked_exponents(e: Evaluation) -> list[torch.Tensor]:
    """The exponents of the weights of a ranked list's positives and negatives, -inf for what has no weight."""
    loss, labels = e.pipeline.loss, e.labels
    d = loss.distance(e.x.detach())
    other = ~torch.eye(len(d), dtype=torch.bool)
    same = labels[:, None] == labels
    parts = ((loss.Tp, d - (loss.alpha - loss.margin), same & other), (loss.Tn, loss.alpha - d, ~same))
    return [
        (temperature * excess).masked_fill(~among | (excess <= 0), -math.inf) for temperature, excess, among in parts
    ]


def _added(e: Evaluation) -> float:
    """What PML adds to a row of weights, as a part of their sum; the largest."""
    sums = torch.cat([part.exp().sum(1) for part in _ranked_exponents(e)])
    sums = sums[sums > 0]
    return float((1e-5 * len(e.x) / sums).max()) if len(sums) else 0.0


def _overflows(e: Evaluation) -> bool:
    loss = e.pipeline.loss
    d = loss.distance(e.x.detach())
    return max(float((loss.Tp * d).max()), loss.Tn * loss.alpha) > math.log(torch.finfo(torch.float32).max) - 3


def _improbable(e: Evaluation) -> bool:
    """Whether a probability underflows in float32."""
    return bool((e.values > -math.log(torch.finfo(torch.float32).tiny) - 1).any())


def _of_loss(
    name: str,
    loss: str,
    index: int,
    applies: Callable[[Evaluation], bool],
    within: Callable[[Evaluation], float] = _anyhow,
) -> Difference:
    """A difference of one loss, with the number of its example."""
    return Difference(name, lambda e: _of(e, loss) and applies(e), (loss, index), within)


DIFFERENCES = (
    # miners
    Difference(
        "angular mines raw embeddings",
        lambda e: e.configuration.named("miner").get("name") == "angular" and not e.configuration.unit,
        ("cosface", 26),
    ),
    Difference("a range for all pairs", _ranges_of_all, ("lifted_structure", 24)),
    # tuples
    Difference("tuples that list nothing", _nothing_listed, ("arcface", 1)),
    Difference(
        "a single pair",
        lambda e: _of(e, *PAIRS) and all(len(some) <= 1 for some in e.pairs) and any(e.pairs),
        ("contrastive", 96),
    ),
    # reducers
    Difference(
        "class weights of a column", lambda e: _of(e, *COLUMNS) and _reduced_by(e, "class_weighted"), ("angular", 14)
    ),
    _of_loss("class weights of proxies", "proxy_anchor", 59, lambda e: _reduced_by(e, "class_weighted")),
    Difference(
        "per_anchor of a column of pairs",
        lambda e: _of(e, *COLUMNS_OF_PAIRS) and _reduced_by(e, "per_anchor"),
        ("angular", 2),
    ),
    Difference(
        "per_anchor of more references than anchors",
        lambda e: _reduced_by(e, "per_anchor") and e.y is not None and len(e.y) > len(e.x),
        ("contrastive", 3),
    ),
    Difference(
        "per_anchor of a pair that is listed twice",
        lambda e: _reduced_by(e, "per_anchor") and _repeats(e),
        ("ntxent", 9),
    ),
    Difference(
        "per_anchor of triplets", lambda e: _of(e, *TRIPLETS) and _reduced_by(e, "per_anchor"), ("triplet_margin", 30)
    ),
    _of_loss("per_anchor of anchors without a value", "nca", 19, lambda e: _reduced_by(e, "per_anchor")),
    Difference("tiny values", _tiny_values, ("cosface", 50)),
    # losses
    _of_loss("all negatives of angular, whatever tuples say", "angular", 0, lambda e: e.selected is not None),
    _of_loss(
        "negative pairs of classes of one in a histogram",
        "histogram",
        4,
        lambda e: list(Counter(e.configuration.labels).values()).count(1) > 1,
    ),
    _of_loss("smooth_ap of runs of rows", "smooth_ap", 13, lambda e: not _in_square(e.configuration.labels)),
    _of_loss("rows as classes of instance", "instance", 0, lambda e: e.configuration.labels != list(range(len(e.x)))),
    _of_loss("references of lifted_structure", "lifted_structure", 3, lambda e: e.y is not None),
    _of_loss("pairs of lifted_structure without negatives", "lifted_structure", 15, lambda e: _lonely_pairs(e)),
    _of_loss(
        "a learned boundary without triplets",
        "margin",
        58,
        lambda e: bool(e.configuration.loss.get("learn_beta")) and not _has_triplets(e),
    ),
    _of_loss("nca without positives", "nca", 6, lambda e: not e.of_labels[0]),
    _of_loss("nca of one anchor", "nca", 23, lambda e: len(e.x) == 1),
    _of_loss("proxies scaled in the norm of the distance", "normalized_softmax", 129, lambda e: _raw_norm(e) != 2),
    _of_loss(
        "the pair that is listed first",
        "npairs",
        11,
        lambda e: _first_pairs(e, sorted(e.pairs[0])) != _first_pairs(e, e.pairs[0]),
    ),
    _of_loss("proxy_nca of tuples", "proxy_nca", 4, lambda e: e.selected is not None),
    _of_loss("proxy_nca of far embeddings", "proxy_nca", 103, lambda e: _improbable(e)),
    _of_loss(
        "1e-5 on each weight of a ranked list",
        "ranked_list",
        2,
        lambda e: _added(e) > 3e-9,
        within=lambda e: 30 * _added(e),
    ),
    _of_loss("weights of a ranked list that overflow", "ranked_list", 10, lambda e: _overflows(e)),
    _of_loss("supcon without negatives", "supcon", 20, lambda e: not e.pairs[1] and bool(e.pairs[0])),
    Difference(
        "swap with references",
        lambda e: bool(e.configuration.loss.get("swap")) and e.y is not None,
        ("triplet_margin", 48),
    ),
)
