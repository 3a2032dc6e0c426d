"""HDCMiner: the hardest pairs of the whole batch, whatever the tiles."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Pairs, SpecError
from metricreg.miners import HDCMiner
from tests.checks import record
from tests.oracle import DISTANCES, SCENARIOS, UNSELECTED, rows
from tests.reference import miners as reference

UNTIED = [name for name in UNSELECTED if name != "duplicate and zero rows"]


def assert_as_hard(got: Any, want: Any, d: Tensor) -> None:
    """The same distances, each pair once: d(a, b) and d(b, a) are equally hard, and either may be kept."""
    assert isinstance(got, Pairs)
    columns = got.columns()
    for (anchor, other), wanted in zip((columns[:2], columns[2:]), want, strict=True):
        assert len({*zip(anchor.tolist(), other.tolist(), strict=True)}) == len(anchor) == len(wanted)
        found = d[anchor, other].sort().values
        torch.testing.assert_close(found, torch.tensor(sorted(pair[0] for pair in wanted), dtype=d.dtype))


@pytest.mark.parametrize("tile", [2**21, 16], ids=["whole", "tiles"])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("distance", ["lp", "dot raw"])
@pytest.mark.parametrize("scenario", UNTIED)
def test_keeps_the_hardest_pairs(
    scenario: str, distance: str, share: float, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metricreg.components.miner.tile_values", lambda _: tile)
    case, (ours, measure) = SCENARIOS[scenario](), DISTANCES[distance]
    with torch.no_grad():
        want = reference.hdc(measure, case.x, case.references, case.chosen, share)
        got = HDCMiner(share, distance=ours())(case.x, case.labels, case.ref, case.ref_labels)
        assert_as_hard(got, want, ours()(case.x, case.references))
    for check in ("loop", "distances"):
        record("miner", "hdc", check)


def test_memory_is_that_of_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from metricreg.miners import hdc

    most = [0]
    keep = hdc._Hardest.pairs

    def noted(self: Any) -> Tensor:
        most[0] = max(most[0], sum(map(len, self.hardness)))
        return keep(self)

    monkeypatch.setattr(hdc._Hardest, "pairs", noted)
    monkeypatch.setattr("metricreg.components.miner.tile_values", lambda _: 1000)  # five anchors a tile
    HDCMiner(0.01)(rows(200).detach(), torch.arange(200) % 4)
    assert 0 < most[0] < 2 * 300 + 1000 < 200 * 150


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_another_share_is_refused(share: float) -> None:
    with pytest.raises(SpecError, match="filter_percentage"):
        HDCMiner(filter_percentage=share)
