"""UniformHistogramMiner: how many pairs of which bin, and that each pair of a bin is as likely."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from metricreg import Pairs, SpecError
from metricreg.distances import LpDistance
from metricreg.miners import UniformHistogramMiner
from tests.checks import record
from tests.oracle import DISTANCES, SCENARIOS, UNSELECTED, Scenario, batch
from tests.reference import miners as reference

UNTIED = [name for name in UNSELECTED if name != "duplicate and zero rows"]
TILES = pytest.mark.parametrize("tile", [2**21, 16], ids=["whole", "tiles"])


def drawn(miner: UniformHistogramMiner, case: Scenario) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    found = miner(case.x, case.labels, case.ref, case.ref_labels)
    assert isinstance(found, Pairs)
    a, p, a2, n = (column.tolist() for column in found.columns())
    return list(zip(a, p, strict=True)), list(zip(a2, n, strict=True))


@TILES
@pytest.mark.parametrize("distance", ["lp", "dot raw", "snr"])
@pytest.mark.parametrize("scenario", UNTIED)
def test_each_bin_that_is_not_empty_gives_its_number(
    scenario: str, distance: str, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.components.miner.tile_values", lambda _: tile)
    torch.manual_seed(0)
    case, (ours, measure) = SCENARIOS[scenario](), DISTANCES[distance]
    with torch.no_grad():
        want = reference.uniform_histogram(measure, case.x, case.references, case.chosen, num_bins=7)
    for found, bins, count in zip(
        drawn(UniformHistogramMiner(7, 4, 3, distance=ours()), case), want, (4, 3), strict=True
    ):
        of = {pair: place for place, pairs in bins.items() for pair in pairs}
        assert Counter(of[pair] for pair in found) == dict.fromkeys(bins, count)
    for check in ("loop", "distances"):
        record("miner", "uniform_histogram", check)


@TILES
def test_each_pair_of_a_bin_is_as_likely(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.components.miner.tile_values", lambda _: tile)
    torch.manual_seed(0)
    case, draws = batch([0, 1, 0, 1, 2, 0, 1, 2]), 20000
    with torch.no_grad():
        want = reference.uniform_histogram(DISTANCES["lp"][1], case.x, case.x, case.chosen, num_bins=3)
    found = drawn(UniformHistogramMiner(3, draws, draws), case)
    for pairs, bins in zip(found, want, strict=True):
        counts = Counter(pairs)
        for members in bins.values():
            mean = draws / len(members)
            assert all(abs(counts[pair] - mean) < 5 * mean**0.5 for pair in members)


def test_a_distance_between_two_bins_is_in_the_farther_one() -> None:
    case = Scenario(torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64), torch.tensor([0, 0, 0]))
    torch.manual_seed(0)
    pairs = Counter(drawn(UniformHistogramMiner(2, 1000, 1, distance=LpDistance(normalize=False)), case)[0])
    assert pairs[0, 1] + pairs[1, 0] == 1000  # at distance 1; 2 and 3 share the other bin
    assert all(pairs[pair] > 150 for pair in [(1, 2), (2, 1), (0, 2), (2, 0)])


def test_equal_distances_are_one_bin() -> None:
    x = torch.eye(4, dtype=torch.float64)
    case = Scenario(x, torch.tensor([0, 0, 1, 1]))
    torch.manual_seed(0)
    assert [
        len(pairs) for pairs in drawn(UniformHistogramMiner(5, 2, 3, distance=LpDistance(normalize=False)), case)
    ] == [2, 3]


@pytest.mark.parametrize("name", ["num_bins", "pos_per_bin", "neg_per_bin"])
def test_numbers_are_at_least_one(name: str) -> None:
    with pytest.raises(SpecError, match=name):
        UniformHistogramMiner(**{name: 0})
