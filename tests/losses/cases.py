"""A case for each loss: its loop, and the parameters, distances, reducers and scenarios with which the two are compared.

How the loop of a loss is called depends on what the loss compares: `pairs`, `ranks` (rows as a whole), `proxies`, or
`views`; for each of them there is a module in tests/reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metricreg import Loss
from metricreg import losses as L
from tests.oracle import (
    ANY_DISTANCE,
    DIM,
    DISTANCES,
    LOSSES,
    PROXY_SCENARIOS,
    SCENARIOS,
    VIEW_LOSSES,
    VIEWS,
    Reduce,
    Scenario,
    pair_loss,
    proxy_loss,
    reduced,
    row_loss,
    takes,
)
from tests.reference import pair_losses, proxy_losses, rank_losses, reducers, view_losses
from tests.reference.distances import Measure
from tests.reference.reducers import Anchors

Parameters = dict[str, Any]
Naive = Callable[[Scenario], Tensor]
Loop = Callable[..., Naive]
"""Of a loss, a measure, a reduction and parameters: what the loss should be of a scenario."""

FOUR = ("balanced", "references", "pairs", "triplets")
FEW = ("imbalanced, with singletons", "references", "triplets")
OF_BATCHES = ("imbalanced, with singletons", "pairs")
AT_PROXIES = [(d, s) for d, s in ANY_DISTANCE if s != "references"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a loss is compared with, and where.

    Args:
        make: the loss of parameters and slots.
        loop: the loop of the loss so made.
        measure: the distance that the loss has of itself, of those of `DISTANCES`.
        reduce: the reduction that it has of itself.
        given: its parameters in every scenario.
        scenarios: where it is compared with them.
        parameters: others.
        parameter_scenarios: where it is compared with each of the others.
        distances: with which distances, and where.
        at_distances: its parameters with those; as `given` where None.
        refused: distances that it does not take.
        refusal: the message.
        reducer_scenarios: where it is compared with each reducer; nowhere if it takes none.
        with_reducers: its parameters with those.
        tolerance: how far it may be off.
    """

    make: Callable[..., Loss]
    loop: Loop
    measure: str = "cosine"
    reduce: Reduce = reducers.mean
    given: Parameters = field(default_factory=dict)
    scenarios: Sequence[str] = tuple(SCENARIOS)
    parameters: Sequence[Parameters] = ()
    parameter_scenarios: Sequence[str] = FOUR
    distances: Sequence[tuple[str, str]] = ()
    at_distances: Parameters | None = None
    refused: Sequence[str] = ()
    refusal: str = ""
    reducer_scenarios: Sequence[str] = FEW
    with_reducers: Parameters = field(default_factory=dict)
    tolerance: float = 1e-10


def pairs(name: str, **more: Any) -> Case:
    """A loss on pairs or triplets, in any distance unless it says otherwise."""

    def loop(loss: Loss, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
        return pair_loss(getattr(pair_losses, name), measure, reduce, **parameters)

    distances = () if more.get("refused") else ANY_DISTANCE
    return Case(**{"make": LOSSES[name], "loop": loop, "distances": distances} | more)


def ranks(name: str, **more: Any) -> Case:
    """A loss on all of the batch, whose values tuples weigh."""

    def loop(loss: Loss, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
        return row_loss(getattr(rank_losses, name), measure, reduce, **parameters)

    return pairs(name, loop=loop, **more)


def proxies(name: str, **more: Any) -> Case:
    """A loss with class vectors."""

    def loop(loss: Any, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
        in_measure = {"measure": measure} if more.get("distances") else {}
        return proxy_loss(getattr(proxy_losses, name), loss.proxies, reduce, **in_measure, **parameters)

    where = {"scenarios": PROXY_SCENARIOS, "parameter_scenarios": ["balanced"], "reducer_scenarios": OF_BATCHES}
    return Case(**{"make": LOSSES[name], "loop": loop} | where | more)


def views(name: str, loop: Loop, **more: Any) -> Case:
    """A loss on two views of the same things."""
    return Case(**{"make": VIEW_LOSSES[name], "loop": loop, "scenarios": tuple(VIEWS), "reducer_scenarios": ()} | more)


# -- losses that need more than that -----------------------------------------------------------------------------------

LENGTHS = {"mean": 2.25, "std": 0.5}
"""Of AdaFace, which embeddings of the scenarios are on both sides of, some by far."""


def adaface(**parameters: Any) -> L.AdaFaceLoss:
    """With running lengths."""
    loss: Any = LOSSES["adaface"](**parameters).double()
    for name, value in LENGTHS.items():
        getattr(loss, name).fill_(value)
    return loss  # type: ignore[no-any-return]


def _of_adaface(loss: Any, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
    return proxy_loss(proxy_losses.adaface, loss.proxies, reduce, **LENGTHS, **parameters)


def _curricularface(**parameters: Any) -> Loss:
    loss: Any = LOSSES["curricularface"](**parameters)
    loss.t.fill_(0.375)
    return loss  # type: ignore[no-any-return]


def _of_curricularface(loss: Any, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
    return proxy_loss(proxy_losses.curricularface, loss.proxies, reduce, t=0.375, **parameters)


def dynamic_arcface(**parameters: Any) -> L.DynamicArcFaceLoss:
    """With margins beyond float32, as which they are stored."""
    torch.manual_seed(0)
    loss = L.DynamicArcFaceLoss(**{"class_counts": [40, 3, 7, 12], "embedding_size": DIM} | parameters).double()
    loss.margins.mul_(16).round_().div_(16)
    return loss


def _of_dynamic_arcface(loss: Any, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
    rest = {name: parameters[name] for name in ("scale", "sub_centers") if name in parameters}
    margins = [math.degrees(float(m)) for m in loss.margins]
    return proxy_loss(proxy_losses.dynamic_arcface, loss.proxies, reduce, margins=margins, **rest)


def _of_histogram(loss: Loss, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
    if "delta" in parameters:
        parameters = {"n_bins": round(2 / parameters["delta"])}
    return pair_loss(pair_losses.histogram, measure, reduce, **parameters)


def _margin(**parameters: Any) -> L.MarginLoss:
    loss = L.MarginLoss(**parameters).double()
    with torch.no_grad():
        loss.beta += 0.01 * torch.arange(len(loss.beta))  # not all the same
    return loss


def _of_margin(loss: Any, measure: Measure, reduce: Reduce, **_: Any) -> Naive:
    def naive(scenario: Scenario) -> Tensor:
        labels = scenario.labels.tolist()
        betas = [loss.beta[labels[a] if loss.num_classes else 0] for a in range(len(labels))]
        keywords: dict[str, Any] = {"margin": loss.margin, "betas": betas, "nu": loss.nu}
        terms = pair_losses.margin(measure, scenario.x, scenario.references, scenario.chosen, **keywords)
        penalty = terms.pop("beta_reg_loss")
        if loss.learn_beta and loss.num_classes:
            terms["beta_reg_loss"] = penalty
        total = reduced(terms, reduce, scenario.anchors)
        return total + loss.nu * loss.beta.sum() if loss.learn_beta and not loss.num_classes else total

    return naive


def _of_npairs(loss: Loss, measure: Measure, reduce: Reduce, **_: Any) -> Naive:
    def naive(scenario: Scenario) -> Tensor:
        labels = scenario.labels.tolist()
        chosen = pair_losses.pairs_of_classes(scenario.chosen, labels)
        terms = pair_losses.npairs(measure, scenario.x, scenario.references, chosen)
        return reduced(terms, reduce, Anchors(len(chosen), [labels[a] for a, _ in chosen]))

    return naive


def _of_proxy_anchor(loss: Any, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
    anchors = Anchors(loss.num_classes, range(loss.num_classes))
    more = {"anchors": anchors, "measure": measure, **parameters}
    return proxy_loss(proxy_losses.proxy_anchor, loss.proxies, reduce, **more)


def _of_siglip(loss: Any, measure: Measure, reduce: Reduce, **_: Any) -> Naive:
    return pair_loss(pair_losses.siglip, measure, reduce, log_temperature=loss.temperature.log, bias=loss.bias)


def _of_barlow_twins(loss: Loss, measure: Measure, reduce: Reduce, redundancy_lambda: float = 0.0051) -> Naive:
    return lambda case: view_losses.barlow_twins(case.x, case.references, redundancy_lambda)  # type: ignore[no-any-return]


def _of_vicreg(loss: Loss, measure: Measure, reduce: Reduce, **parameters: Any) -> Naive:
    def naive(case: Scenario) -> Tensor:
        values, others = view_losses.vicreg(case.x, case.references, **parameters)
        return reduce(values, case.anchors) + others

    return naive


avg_non_zero = reducers.avg_non_zero
MINIMUM_AND_MORE = ("balanced", "imbalanced, with singletons", "references", "pairs", "triplets", "no triplets")
LEARNED = {"learn_beta": True, "nu": 0.5}
WEIGHTED = {"weighting": "vmf"}
BY_WEIGHT = "decoupled_contrastive with weights"

CASES: dict[str, Case] = {
    # a margin of 1 is the distance of a zero row from a unit one: whether it costs something would be up to rounding
    "contrastive": pairs(
        "contrastive",
        measure="lp",
        reduce=avg_non_zero,
        given={"neg_margin": 0.97},
        at_distances={"neg_margin": 1.1},
        parameters=[{"pos_margin": 0.3, "neg_margin": 1.2}, {"power": 2.0}, {"neg_margin": 1.5, "power": 0.5}],
    ),
    "triplet_margin": pairs(
        "triplet_margin",
        measure="lp",
        reduce=avg_non_zero,
        parameters=[
            {"margin": 0.5},
            {"swap": True},
            {"smooth": True},
            {"power": 2.0, "margin": 1.0},
            {"power": 0.5, "swap": True, "smooth": True},
        ],
    ),
    "ntxent": pairs("ntxent", parameters=[{"temperature": 0.01}, {"temperature": 2.0}]),
    "supcon": pairs("supcon", reduce=avg_non_zero, parameters=[{"temperature": 0.05}, {"temperature": 2.0}]),
    "multi_similarity": pairs(
        "multi_similarity", parameters=[{"alpha": 5.0, "beta": 10.0, "base": 0.1}, {"base": -0.3}]
    ),
    "instance": pairs(
        "instance",
        given={"gamma": 4.0},
        parameters=[{"gamma": 0.5}, {"gamma": 20.0}, {"gamma": 64.0}],
        parameter_scenarios=["balanced", "references"],
        at_distances={"gamma": 0.5},
        reducer_scenarios=["imbalanced, with singletons", "pairs", "references"],
        with_reducers={"gamma": 4.0},
    ),
    "circle": pairs(
        "circle",
        reduce=avg_non_zero,
        parameters=[{"m": 0.25, "gamma": 100.0}, {"m": -0.1, "gamma": 4.0}],
        refused=["lp", "dot raw", "snr"],
        refusal="CircleLoss works with CosineSimilarity",
    ),
    "npairs": pairs(
        "npairs",
        loop=_of_npairs,
        reducer_scenarios=["balanced", "imbalanced, with singletons", "references", "triplets"],
    ),
    "lifted_structure": pairs(
        "lifted_structure", measure="lp", parameters=[{"neg_margin": 0.5, "pos_margin": 0.2}, {"neg_margin": -1.5}]
    ),
    "generalized_lifted_structure": pairs(
        "generalized_lifted_structure",
        measure="lp",
        parameters=[{"neg_margin": 0.5, "pos_margin": 0.2}, {"neg_margin": -1.5}],
    ),
    "tuplet_margin": pairs(
        "tuplet_margin",
        parameters=[{"margin": 30.0, "scale": 4.0}, {"margin": 0.0}, {"margin": 120.0, "scale": 10.0}],
        refused=["lp", "dot raw", "snr"],
        refusal="TupletMarginLoss works with CosineSimilarity",
    ),
    "intra_pair_variance": pairs(
        "intra_pair_variance", parameters=[{"pos_eps": 0.3, "neg_eps": 0.2}, {"pos_eps": 0.0}]
    ),
    "snr_contrastive": pairs(
        "snr_contrastive",
        measure="snr",
        reduce=avg_non_zero,
        scenarios=[name for name in SCENARIOS if name != "duplicate and zero rows"],  # a zero anchor has no SNR
        parameters=[{"pos_margin": 0.3, "neg_margin": 2.5}],
        refused=["lp", "cosine"],
        refusal="SNRContrastiveLoss works with SNRDistance",
    ),
    "ranked_list": pairs(
        "ranked_list",
        measure="lp",
        parameters=[
            {"Tp": 3.0, "Tn": 0.0},
            {"margin": 0.2, "Tn": 10.0, "imbalance": 0.1, "alpha": 1.53, "Tp": 30.0},
            {"margin": 2.7, "imbalance": 0.0},
            {"imbalance": 1.0},
        ],
        distances=[case for case in ANY_DISTANCE if takes("ranked_list", case[0])],
        refused=["cosine", "dot raw"],
        refusal="RankedListLoss works with distances, not with similarities",
    ),
    "margin": pairs(
        "margin",
        make=_margin,
        loop=_of_margin,
        measure="lp",
        reduce=reducers.divisor,
        given={"margin": 0.23},  # at a whole tenth, a zero row is at a kink
        parameters=[
            {"margin": 0.35, "beta": 0.9},
            {"num_classes": 4, "beta": 1.1},
            LEARNED,
            LEARNED | {"num_classes": 4},
        ],
        parameter_scenarios=MINIMUM_AND_MORE,
        at_distances={"margin": 0.23, "beta": 0.6},
        reducer_scenarios=["imbalanced, with singletons", "references", "pairs", "triplets"],
    ),
    "margin with a boundary a class": pairs(
        "margin",
        make=_margin,
        loop=_of_margin,
        measure="lp",
        scenarios=(),
        distances=(),
        reducer_scenarios=["imbalanced, with singletons", "references", "pairs", "triplets"],
        with_reducers=LEARNED | {"num_classes": 4},
    ),
    "angular": pairs(
        "angular",
        measure="lp",
        parameters=[{"alpha": 20.0}, {"alpha": 75.0}],
        refused=["cosine", "snr", "lp p=1", "lp squared", "lp raw"],
        refusal=r"AngularLoss (works with LpDistance|is about angles of unit embeddings)",
    ),
    "threshold_consistent_margin": pairs(
        "threshold_consistent_margin",
        parameters=[
            {"lambda_plus": 0.5, "lambda_minus": 3.0},
            {"margin_plus": 0.2, "margin_minus": -0.3},
            {"lambda_minus": 0.0, "margin_plus": 2.0},
        ],
        distances=[case for case in ANY_DISTANCE if case[0] == "dot raw"],
        refused=["lp", "snr"],
        refusal="works with CosineSimilarity or DotProductSimilarity, not with",
        reducer_scenarios=(),
    ),
    "histogram": pairs(
        "histogram",
        loop=_of_histogram,
        parameters=[{"n_bins": 7}, {"n_bins": 1}, {"delta": 0.1}],
        refused=["lp", "snr", "dot raw"],
        refusal=r"HistogramLoss (works with CosineSimilarity|needs similarities from -1 to 1)",
        reducer_scenarios=(),
    ),
    "decoupled_contrastive": pairs(
        "decoupled_contrastive",
        parameters=[
            {"temperature": 0.01},
            {"temperature": 2.0},
            WEIGHTED | {"sigma": 0.1},
            WEIGHTED | {"temperature": 1.0, "sigma": 3.0},
        ],
    ),
    BY_WEIGHT: pairs("decoupled_contrastive", given=WEIGHTED, with_reducers=WEIGHTED),
    "siglip": pairs(
        "siglip",
        loop=_of_siglip,
        reduce=reducers.divisor,
        parameters=[{"temperature": 100.0}, {"temperature": 0.5, "bias": 2.0}],
        with_reducers={"temperature": 2.0, "bias": -1.0},  # values on both sides of the thresholds
    ),
    # of an odd number of bins none ends at 0, where duplicate embeddings are but for rounding
    "dynamic_soft_margin": pairs(
        "dynamic_soft_margin",
        measure="lp",
        given={"num_bins": 7},
        parameters=[{"num_bins": 10}, {"num_bins": 1}, {"num_bins": 101}, {"min_val": -0.3, "num_bins": 5}],
        reducer_scenarios=["imbalanced, with singletons", "references", "pairs", "triplets"],
        with_reducers={"num_bins": 7},
    ),
    "selectively_contrastive_triplet": pairs(
        "selectively_contrastive_triplet",
        parameters=[
            {"temperature": 0.01, "hard_weight": 0.3},
            {"temperature": 1.0, "hard_weight": 7.0},
            {"hard_weight": 0.0},
        ],
        reducer_scenarios=["imbalanced, with singletons", "references", "pairs", "triplets"],
    ),
    "nca": ranks("nca", measure="lp squared", parameters=[{"softmax_scale": 10.0}, {"softmax_scale": 0.3}]),
    "fast_ap": ranks(
        "fast_ap",
        measure="lp squared",
        parameters=[{"num_bins": 3}, {"num_bins": 1}, {"num_bins": 37}],
        refused=["cosine", "snr", "lp p=1", "lp raw"],
        refusal=r"FastAPLoss (works with LpDistance|needs distances that are 2 at most)",
    ),
    "recall_at_k": ranks(
        "recall_at_k",
        parameters=[
            {"k": [1], "k_temperatures": [0.3]},
            {"k": [3, 1], "k_temperatures": [2.0, 0.5], "temperature": 0.3},
            {"k": [2, 5], "k_temperatures": [0.01, 4.0]},
        ],
        parameter_scenarios=[*FOUR, "one class"],
        at_distances={"temperature": 0.3},
    ),
    "pnp": ranks(
        "pnp",
        parameters=[
            {"anneal": 0.4},
            {"variant": "Ds"},
            {"variant": "Dq"},
            {"variant": "Dq", "alpha": 3.0, "anneal": 0.1},
            {"variant": "Iu"},
            {"variant": "Ib"},
            {"variant": "Ib", "b": 0.5, "anneal": 0.1},
        ],
        parameter_scenarios=[*FOUR, "one class", "duplicate and zero rows"],
        at_distances={"anneal": 0.3},
    ),
    "smooth_ap": ranks(
        "smooth_ap", parameters=[{"temperature": 0.5}, {"temperature": 0.003}], at_distances={"temperature": 0.3}
    ),
    "adaface": proxies(
        "adaface",
        make=adaface,
        loop=_of_adaface,
        parameters=[{"margin": 1.2, "h": 0.9, "scale": 8.0}, {"margin": 0.5, "h": 0.0}, {"margin": 0.0}],
    ),
    "arcface": proxies(
        "arcface", parameters=[{"margin": 90.0, "scale": 10.0}, {"margin": 170.0, "scale": 4.0}, {"margin": 0.0}]
    ),
    "cosface": proxies("cosface", parameters=[{"margin": 0.0}, {"margin": 1.5, "scale": 3.0}]),
    "curricularface": proxies(
        "curricularface",
        make=_curricularface,
        loop=_of_curricularface,
        parameters=[{"margin": 120.0, "scale": 8.0}, {"margin": 0.0}],
    ),
    "dynamic_arcface": proxies(
        "dynamic_arcface",
        make=dynamic_arcface,
        loop=_of_dynamic_arcface,
        parameters=[
            {"margin_bounds": (90.0, 150.0), "scale": 8.0},
            {"sub_centers": 1, "power": 2.0},
            {"class_counts": [1, 1, 10, 1]},
        ],
    ),
    "large_margin_softmax": proxies(
        "large_margin_softmax", parameters=[{"margin": 1}, {"margin": 2, "scale": 3.0}, {"margin": 7, "scale": 0.5}]
    ),
    "manifold": proxies(
        "manifold",
        parameters=[
            {"lambda_c": 0.0},
            {"lambda_c": 5.0, "alpha": 0.3},
            {"margin": 0.2},
            {"margin": -0.01, "alpha": 0.9},
        ],
        parameter_scenarios=["balanced", "triplets", "duplicate and zero rows"],
        refused=["lp", "dot raw", "snr"],
        refusal="ManifoldLoss works with CosineSimilarity",
        reducer_scenarios=(),
    ),
    "normalized_softmax": proxies(
        "normalized_softmax",
        parameters=[{"temperature": 1.0}, {"temperature": 0.3}],
        distances=AT_PROXIES,
        at_distances={"temperature": 0.5},
    ),
    "p2s_grad": proxies("p2s_grad", reducer_scenarios=()),
    "proxy_anchor": proxies(
        "proxy_anchor",
        loop=_of_proxy_anchor,
        reduce=reducers.divisor,
        parameters=[{"margin": -0.2, "alpha": 10.0}, {"margin": 0.5}],
        distances=AT_PROXIES,
        at_distances={"alpha": 8.0},
    ),
    "proxy_nca": proxies(
        "proxy_nca",
        measure="lp squared",
        parameters=[{"softmax_scale": 8.0}, {"softmax_scale": 0.3}],
        distances=AT_PROXIES,
    ),
    "soft_triple": proxies(
        "soft_triple",
        parameters=[{"centers_per_class": 1, "margin": 0.2}, {"centers_per_class": 3, "la": 5.0, "gamma": 1.0}],
        distances=AT_PROXIES,
        at_distances={"la": 4.0, "gamma": 0.5, "centers_per_class": 3},
    ),
    "sphereface": proxies(
        "sphereface", parameters=[{"margin": 1}, {"margin": 2, "scale": 3.0}, {"margin": 7, "scale": 0.5}]
    ),
    "subcenter_arcface": proxies(
        "subcenter_arcface",
        parameters=[{"margin": 120.0, "scale": 8.0, "sub_centers": 2}, {"margin": 0.0, "sub_centers": 1}],
    ),
    "barlow_twins": views(
        "barlow_twins",
        _of_barlow_twins,
        parameters=[{"redundancy_lambda": weight} for weight in (0.0051, 0.0, 3.0)],
        parameter_scenarios=tuple(VIEWS),
        refused=[name for name in DISTANCES if name != "cosine"],
        refusal="BarlowTwinsLoss works with CosineSimilarity",
        tolerance=1e-9,
    ),
    "vicreg": views(
        "vicreg",
        _of_vicreg,
        parameters=[
            {"invariance_lambda": 2.0, "variance_mu": 0.5, "covariance_v": 7.0, "eps": 0.1},
            {"variance_mu": 0.0, "covariance_v": 0.0},
            {"invariance_lambda": 0.0, "covariance_v": 0.0},
            {"invariance_lambda": 0.0, "variance_mu": 0.0},
        ],
        parameter_scenarios=["two views", "features that do not vary"],
        refused=tuple(DISTANCES),
        refusal=r"VICRegLoss (works with LpDistance|is about squared distances)",
        reducer_scenarios=["two views", "two views of one"],
        with_reducers={"invariance_lambda": 0.3},  # values on both sides of the thresholds
    ),
}
"""Every loss that has a loop but those of label sets and of other losses, which have theirs in files of their own."""
