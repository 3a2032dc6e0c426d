"""Where a random configuration differs from pytorch-metric-learning: each difference with the test that shows it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tests.parity import test_differences as shown
from tests.parity.configurations import Evaluation


def _anyhow(e: Evaluation) -> float:
    return math.inf


@dataclass(frozen=True)
class Difference:
    """A difference that has a name.

    Args:
        name: what PML does.
        applies: whether it does so to an evaluation in float64.
        test: the test that shows PML's value, ours, and the formula's.
        example: a configuration, see `draw`, that is apart by this difference alone.
        within: by how much results may differ then, in the measure of `distance_between`.
    """

    name: str
    applies: Callable[[Evaluation], bool]
    test: Callable[..., None]
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


DIFFERENCES = (
    # miners
    Difference(
        "angular mines raw embeddings",
        lambda e: e.configuration.named("miner").get("name") == "angular" and not e.configuration.unit,
        shown.test_the_angle_of_a_triplet_is_that_of_unit_embeddings,
        ("cosface", 26),
    ),
    Difference(
        "a range for all pairs", _ranges_of_all, shown.test_ranges_hold_for_all_pairs_too, ("lifted_structure", 24)
    ),
    # tuples
    Difference(
        "tuples that list nothing", _nothing_listed, shown.test_tuples_that_list_nothing_select_nothing, ("arcface", 1)
    ),
    Difference(
        "a single pair",
        lambda e: _of(e, *PAIRS) and all(len(some) <= 1 for some in e.pairs) and any(e.pairs),
        shown.test_a_single_pair_counts,
        ("contrastive", 96),
    ),
    # reducers
    Difference(
        "class weights of a column",
        lambda e: _of(e, *COLUMNS) and _reduced_by(e, "class_weighted"),
        shown.test_class_weights_meet_each_anchors_own_loss,
        ("angular", 14),
    ),
    Difference(
        "class weights of proxies",
        lambda e: _of(e, "proxy_anchor") and _reduced_by(e, "class_weighted"),
        shown.test_class_weights_work_on_proxies,
        ("proxy_anchor", 59),
    ),
    Difference(
        "per_anchor of a column of pairs",
        lambda e: _of(e, *COLUMNS_OF_PAIRS) and _reduced_by(e, "per_anchor"),
        shown.test_pair_losses_are_weighed_by_class_and_anchor_pair_by_pair,
        ("angular", 2),
    ),
    Difference(
        "per_anchor of more references than anchors",
        lambda e: _reduced_by(e, "per_anchor") and e.y is not None and len(e.y) > len(e.x),
        shown.test_per_anchor_takes_more_references_than_anchors,
        ("contrastive", 3),
    ),
    Difference(
        "per_anchor of a pair that is listed twice",
        lambda e: _reduced_by(e, "per_anchor") and _repeats(e),
        shown.test_per_anchor_of_repeated_pairs_has_the_gradient_of_its_value,
        ("ntxent", 9),
    ),
    Difference(
        "per_anchor of triplets",
        lambda e: _of(e, *TRIPLETS) and _reduced_by(e, "per_anchor"),
        shown.test_per_anchor_takes_triplets,
        ("triplet_margin", 30),
    ),
    Difference(
        "per_anchor of anchors without a value",
        lambda e: _of(e, "nca") and _reduced_by(e, "per_anchor"),
        shown.test_an_anchor_without_a_value_is_one_of_the_anchors,
        ("nca", 19),
    ),
    Difference("tiny values", _tiny_values, shown.test_a_tiny_cross_entropy_is_not_zero, ("cosface", 50)),
    # losses
    Difference(
        "all negatives of angular, whatever tuples say",
        lambda e: _of(e, "angular") and e.selected is not None,
        shown.test_the_angular_loss_looks_at_the_negatives_that_are_listed,
        ("angular", 0),
    ),
    Difference(
        "negative pairs of classes of one in a histogram",
        lambda e: _of(e, "histogram") and list(Counter(e.configuration.labels).values()).count(1) > 1,
        shown.test_negative_pairs_of_two_classes_of_one_are_in_the_histogram,
        ("histogram", 4),
    ),
    Difference(
        "smooth_ap of runs of rows",
        lambda e: _of(e, "smooth_ap") and not _in_square(e.configuration.labels),
        shown.test_smooth_ap_takes_classes_of_different_sizes_and_references,
        ("smooth_ap", 13),
    ),
    Difference(
        "rows as classes of instance",
        lambda e: _of(e, "instance") and e.configuration.labels != list(range(len(e.x))),
        shown.test_instance_wants_an_embedding_among_its_own_class,
        ("instance", 0),
    ),
    Difference(
        "references of lifted_structure",
        lambda e: _of(e, "lifted_structure") and e.y is not None,
        shown.test_lifted_structure_of_references_takes_the_negatives_of_the_reference,
        ("lifted_structure", 3),
    ),
    Difference(
        "pairs of lifted_structure without negatives",
        lambda e: _of(e, "lifted_structure") and _lonely_pairs(e),
        shown.test_lifted_structure_of_a_pair_without_negatives_is_zero,
        ("lifted_structure", 15),
    ),
    Difference(
        "a learned boundary without triplets",
        lambda e: _of(e, "margin") and bool(e.configuration.loss.get("learn_beta")) and not _has_triplets(e),
        shown.test_a_learned_boundary_has_its_penalty_without_triplets_too,
        ("margin", 58),
    ),
    Difference(
        "nca without positives",
        lambda e: _of(e, "nca") and not e.of_labels[0],
        shown.test_nca_of_a_batch_without_positives_is_zero,
        ("nca", 6),
    ),
    Difference(
        "nca of one anchor",
        lambda e: _of(e, "nca") and len(e.x) == 1,
        shown.test_nca_of_one_anchor_against_references_is_not_zero,
        ("nca", 23),
    ),
    Difference(
        "proxies scaled in the norm of the distance",
        lambda e: _of(e, "normalized_softmax") and _raw_norm(e) != 2,
        shown.test_normalized_softmax_has_proxies_of_unit_euclidean_length_whatever_the_distance,
        ("normalized_softmax", 129),
    ),
    Difference(
        "the pair that is listed first",
        lambda e: _of(e, "npairs") and _first_pairs(e, sorted(e.pairs[0])) != _first_pairs(e, e.pairs[0]),
        shown.test_npairs_takes_the_pair_of_the_first_anchor_however_pairs_are_listed,
        ("npairs", 11),
    ),
    Difference(
        "proxy_nca of tuples",
        lambda e: _of(e, "proxy_nca") and e.selected is not None,
        shown.test_proxy_nca_weighs_embeddings_by_all_their_occurrences,
        ("proxy_nca", 4),
    ),
    Difference(
        "proxy_nca of far embeddings",
        lambda e: _of(e, "proxy_nca") and _improbable(e),
        shown.test_proxy_nca_keeps_the_embeddings_that_are_farthest_off,
        ("proxy_nca", 103),
    ),
    Difference(
        "1e-5 on each weight of a ranked list",
        lambda e: _of(e, "ranked_list") and _added(e) > 3e-9,
        shown.test_weights_of_a_ranked_list_add_up_to_one,
        ("ranked_list", 2),
        within=lambda e: 30 * _added(e),
    ),
    Difference(
        "weights of a ranked list that overflow",
        lambda e: _of(e, "ranked_list") and _overflows(e),
        shown.test_weights_of_a_ranked_list_do_not_overflow,
        ("ranked_list", 10),
    ),
    Difference(
        "supcon without negatives",
        lambda e: _of(e, "supcon") and not e.pairs[1] and bool(e.pairs[0]),
        shown.test_supcon_without_negatives_still_has_a_loss,
        ("supcon", 20),
    ),
    Difference(
        "swap with references",
        lambda e: bool(e.configuration.loss.get("swap")) and e.y is not None,
        shown.test_swap_takes_references,
        ("triplet_margin", 48),
    ),
)
