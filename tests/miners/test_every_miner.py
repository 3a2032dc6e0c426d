"""The miners against their loops, and on the batches that are hard for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Batch, InputError, Miner, Pairs, Triplets
from metricreg import miners as M
from metricreg.losses import ContrastiveLoss, SupConLoss, TripletMarginLoss
from metricreg.pipeline import Pipeline
from tests.oracle import DISTANCES, FEW_PLANS, LARGE_LABELS, SCENARIOS, batch, rows
from tests.reference import miners as reference

ALL: dict[str, tuple[Callable[..., Miner], Callable[..., Any], str]] = {
    "multi_similarity": (M.MultiSimilarityMiner, reference.multi_similarity, "cosine"),
    "multi_similarity epsilon": (
        partial(M.MultiSimilarityMiner, epsilon=-0.2),
        partial(reference.multi_similarity, epsilon=-0.2),
        "cosine",
    ),
    "batch_hard": (M.BatchHardMiner, reference.batch_hard, "lp"),
} | {
    f"triplet_margin {kind}": (
        partial(M.TripletMarginMiner, type_of_triplets=kind),
        partial(reference.triplet_margin, kind=kind),
        "lp",
    )
    for kind in ("all", "hard", "semihard", "easy")
}
every = pytest.mark.parametrize("name", ALL)
UNSELECTED = [name for name, make in SCENARIOS.items() if make().tuples is None and name != "duplicate and zero rows"]


def listed(columns: tuple[Tensor, ...]) -> list[tuple[int, ...]]:
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def found(selection: Any) -> Any:
    columns = selection.columns()
    return (listed(columns[:2]), listed(columns[2:])) if isinstance(selection, Pairs) else listed(columns)


@every
@pytest.mark.parametrize("scenario", UNSELECTED)
def test_finds_what_the_loop_finds(name: str, scenario: str) -> None:
    miner, loop, distance = ALL[name]
    case = SCENARIOS[scenario]()
    with torch.no_grad():
        want = loop(DISTANCES[distance][1], case.x, case.references, case.chosen)
    assert found(miner()(case.x, case.labels, case.ref, case.ref_labels)) == want


@every
@pytest.mark.parametrize("distance", ["lp p=1", "lp squared", "dot raw", "snr"])
def test_works_with_every_distance(name: str, distance: str) -> None:
    miner, loop, _ = ALL[name]
    ours, measure = DISTANCES[distance]
    case = batch([0, 1, 0, 1, 2, 0, 1, 2])
    with torch.no_grad():
        want = loop(measure, case.x, case.x, case.chosen)
    assert found(miner(distance=ours())(case.x, case.labels)) == want


@every
def test_mining_in_tiles_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, miner = batch([0, 1, 0, 1, 2, 0, 1, 2, 0]), ALL[name][0]()
    want = miner(case.x, case.labels)
    monkeypatch.setattr("metricreg.kinds.miner.CPU_VALUES", 18)  # two anchors a tile
    got = miner(case.x, case.labels)
    for g, w in zip(got.columns(), want.columns(), strict=True):
        assert torch.equal(g, w)


@every
def test_what_is_mined_is_right_for_any_labels_and_duplicates(name: str) -> None:
    x = rows(len(LARGE_LABELS)).detach()
    x[1], x[2] = x[0], x[0]
    selection = ALL[name][0]()(x, LARGE_LABELS)
    columns = selection.columns()
    anchor, positive = columns[:2]
    anchor2, negative = (columns[0], columns[2]) if isinstance(selection, Triplets) else columns[2:]
    assert ((LARGE_LABELS[anchor] == LARGE_LABELS[positive]) & (anchor != positive)).all()
    assert (LARGE_LABELS[anchor2] != LARGE_LABELS[negative]).all()


@every
def test_mining_needs_no_graph_and_leaves_none(name: str) -> None:
    case = batch([0, 1, 0, 1])
    assert not any(column.requires_grad for column in ALL[name][0]()(case.x, case.labels).columns())
    assert case.x.grad is None


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_mined_in_float32(name: str, dtype: torch.dtype) -> None:
    case, miner = batch([0, 1, 0, 1, 2, 0, 1, 2]), ALL[name][0]()
    half = case.x.detach().to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        got = miner(half, case.labels)
    assert found(got) == found(miner(half.float(), case.labels))


@every
def test_labels_are_needed(name: str) -> None:
    with pytest.raises(InputError, match="needs labels"):
        ALL[name][0]()(rows(3), None)


@every
@pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
@pytest.mark.parametrize("loss", [ContrastiveLoss, SupConLoss, TripletMarginLoss])
def test_a_pipeline_evaluates_what_its_miner_found(name: str, loss: Any, plan: Any) -> None:
    case, miner = batch([0, 1, 0, 1, 2, 0, 1, 2]), ALL[name][0]()
    want = loss()(case.x, case.labels, tuples=miner(case.x, case.labels), execution=plan)
    torch.testing.assert_close(Pipeline(loss(), miner, plan)(case.x, case.labels), want, rtol=1e-12, atol=0)


def test_a_miner_refines_a_selection_that_the_batch_already_has() -> None:
    case = batch([0, 1, 0, 1, 2, 0, 1, 2])
    chosen = ([0, 0], [2, 5], [0], [1])
    selection = M.BatchHardMiner().selection(Batch.of(case.x, case.labels, tuples=chosen))
    columns = [c.tolist() for c in selection.columns()]
    assert (columns[0], columns[2]) == ([0], [1])
    assert columns[1][0] in (2, 5)
