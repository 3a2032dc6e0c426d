"""DistanceWeightedMiner: each positive pair once, and how its negatives are distributed."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from metricreg import Batch, SpecError
from metricreg.miners import DistanceWeightedMiner
from tests.oracle import DISTANCES, SCENARIOS, UNSELECTED, Scenario, batch
from tests.reference.miners import distance_weighted


def probabilities(case: Scenario, **parameters: float) -> list[dict[int, float]]:
    return distance_weighted(DISTANCES["lp"][1], case.x.detach(), case.references.detach(), case.chosen, **parameters)


def triplets(miner: DistanceWeightedMiner, case: Scenario) -> list[tuple[int, ...]]:
    found = miner(case.x, case.labels, case.ref, case.ref_labels).columns()
    return list(zip(*(column.tolist() for column in found), strict=True))


@pytest.mark.parametrize("cutoffs", [(0.5, 1.4), (0.9, 1.1), (0.1, 2.5)])
@pytest.mark.parametrize("scenario", UNSELECTED)
def test_each_positive_pair_gets_one_negative_that_may_be_drawn(scenario: str, cutoffs: tuple[float, float]) -> None:
    torch.manual_seed(0)
    case = SCENARIOS[scenario]()
    may = probabilities(case, cutoff=cutoffs[0], nonzero_loss_cutoff=cutoffs[1])
    found = triplets(DistanceWeightedMiner(*cutoffs), case)
    assert [(a, p) for a, p, _ in found] == [
        (a, p) for a in range(len(may)) if may[a] for p in case.chosen.positives[a]
    ]
    assert all(n in may[a] for a, _, n in found)


@pytest.mark.parametrize("size", [2, 3, 5, 64])
@pytest.mark.parametrize("cutoffs", [(0.5, 1.4), (1.0, 1.9)])
def test_negatives_are_drawn_as_often_as_the_formula_says(size: int, cutoffs: tuple[float, float]) -> None:
    torch.manual_seed(0)
    same, draws = 60, 60 * 59  # one point, as often as it takes to draw a lot, and negatives of all distances from it
    x = torch.nn.functional.normalize(torch.randn(same + 12, size, dtype=torch.float64))
    x[:same] = x[0]
    share = torch.linspace(0.05, 1.95, 12, dtype=torch.float64)[:, None]
    x[same:] = x[0] * (1 - share) + x[same:] * (1 - (share - 1).abs())
    case = Scenario(x, torch.tensor([0] * same + [*range(1, 13)]))
    want = probabilities(case, cutoff=cutoffs[0], nonzero_loss_cutoff=cutoffs[1])[0]
    assert len(want) > 2
    drawn = Counter(n for _, _, n in triplets(DistanceWeightedMiner(*cutoffs), case))
    assert drawn.total() == draws
    often = {n: draws * q for n, q in want.items() if draws * q > 5}
    chi = sum((drawn[n] - mean) ** 2 / mean for n, mean in often.items())
    assert chi < 35  # of at most 11 degrees of freedom: chance 2e-4
    assert draws - sum(drawn[n] for n in often) <= 5 + 4 * (draws - sum(often.values()))


def test_the_draws_of_an_anchors_pairs_are_independent() -> None:
    torch.manual_seed(0)
    case = batch([0] * 3 + [1, 2])
    case = Scenario(
        case.x * 0 + torch.tensor([[1.0, 0, 0, 0, 0]] * 3 + [[1.0, 1, 0, 0, 0], [1.0, 0, 1, 0, 0]]), case.labels
    )
    miner, pairs = DistanceWeightedMiner(), Counter[tuple[int, int]]()
    for _ in range(500):
        n = [t[2] for t in triplets(miner, case) if t[0] == 0]
        pairs[n[0], n[1]] += 1
    assert {key: 80 < count < 170 for key, count in pairs.items()} == dict.fromkeys(
        [(3, 3), (3, 4), (4, 3), (4, 4)], True
    )


def test_a_seed_repeats_the_draws() -> None:
    case = batch([0, 1, 0, 1, 2, 0, 1, 2])
    torch.manual_seed(4)
    first = triplets(DistanceWeightedMiner(), case)
    torch.manual_seed(4)
    assert triplets(DistanceWeightedMiner(), case) == first


def test_high_dimensions_do_not_underflow() -> None:
    noise = torch.nn.functional.normalize(torch.randn(40, 2048, generator=torch.Generator().manual_seed(0)))
    x = 0.7**0.5 * noise
    x[:, 0] += 0.3**0.5  # all about 1.2 from each other
    x[1] = x[0] + 0.1 * noise[1]  # but two of different classes, exp(1300) times likelier than all others
    found = DistanceWeightedMiner()(x, torch.arange(40) % 4).columns()
    assert found[0].tolist() == torch.arange(40).repeat_interleave(9).tolist()
    assert set(found[2][found[0] == 0].tolist()) == {1}


def test_a_negative_like_the_anchor_has_a_finite_weight() -> None:
    for size in (2, 3, 4):
        x = torch.eye(1, size).repeat(3, 1)
        found = DistanceWeightedMiner()(x, [0, 0, 1]).columns()
        assert [column.tolist() for column in found] == [[0, 1], [1, 0], [2, 2]]


def test_an_opposite_negative_has_a_finite_weight() -> None:
    x = torch.tensor([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    found = DistanceWeightedMiner(nonzero_loss_cutoff=2.1)(x, [0, 0, 1]).columns()
    assert [column.tolist() for column in found] == [[0, 1], [1, 0], [2, 2]]


def test_cutoffs_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(SpecError, match=r"cutoff is less than nonzero_loss_cutoff; got 1.5 and 1.4"):
        DistanceWeightedMiner(cutoff=1.5)
    for bad in ({"cutoff": 0.0}, {"nonzero_loss_cutoff": -1.0}):
        with pytest.raises(SpecError):
            DistanceWeightedMiner(**bad)


def test_repeated_positives_of_a_selection_are_drawn_for_each_time() -> None:
    case = batch([0, 1, 0, 1])
    chosen = Batch.of(case.x, case.labels, tuples=([0, 0, 0], [2, 2, 2], [0], [1]))
    found = DistanceWeightedMiner(nonzero_loss_cutoff=2.1).selection(chosen)
    assert [column.tolist() for column in found.columns()] == [[0, 0, 0], [2, 2, 2], [1, 1, 1]]
