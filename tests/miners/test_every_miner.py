"""The miners against their loops, and on the batches that are hard for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Batch, InputError, MetricregError, Miner, Pairs, Triplets
from metricreg import miners as M
from metricreg.distances import CosineSimilarity
from metricreg.engine.execution import CPU_TILE_VALUES, GPU_TILE_VALUES, assume_device
from metricreg.losses import ContrastiveLoss, MultipleLosses, SupConLoss, TripletMarginLoss
from metricreg.pipeline import Pipeline, build
from tests.largest_tensor import LargestTensor
from tests.oracle import DISTANCES, FEW_PLANS, LARGE_LABELS, SCENARIOS, UNSELECTED, batch, entries, rows
from tests.reference import miners as reference

Looped = tuple[Callable[..., Miner], Callable[..., Any], str]


def both(miner: Callable[..., Miner], loop: Callable[..., Any], distance: str, **parameters: Any) -> Looped:
    """A miner and its loop, with its own distance."""
    return partial(miner, **parameters), partial(loop, **parameters), distance


def of_strategies(pos: str, neg: str, *ranges: tuple[float, float]) -> Looped:
    """`batch_easy_hard` and its loop, which calls parameters otherwise."""
    ours = dict(zip(("allowed_pos_range", "allowed_neg_range"), ranges, strict=False))
    return (
        partial(M.BatchEasyHardMiner, pos, neg, **ours),
        partial(reference.batch_easy_hard, pos=pos, neg=neg, **{key[8:]: given for key, given in ours.items()}),
        "lp",
    )


STRATEGIES = ("all", "easy", "hard", "semihard")
ALL: dict[str, Looped] = {
    "multi_similarity": both(M.MultiSimilarityMiner, reference.multi_similarity, "cosine"),
    "multi_similarity epsilon": both(M.MultiSimilarityMiner, reference.multi_similarity, "cosine", epsilon=-0.2),
    "batch_hard": both(M.BatchHardMiner, reference.batch_hard, "lp"),
    **{
        f"triplet_margin {kind}": both(M.TripletMarginMiner, reference.triplet_margin, "lp", type_of_triplets=kind)
        for kind in STRATEGIES
    },
    "pair_margin": both(M.PairMarginMiner, reference.pair_margin, "lp"),
    "pair_margin wide": both(M.PairMarginMiner, reference.pair_margin, "lp", pos_margin=0.9, neg_margin=1.3),
    "angular": both(M.AngularMiner, reference.angular, "lp"),
    "angular wide": both(M.AngularMiner, reference.angular, "lp", angle=40.0),
    **{
        f"batch_easy_hard {pos} {neg}": of_strategies(pos, neg)
        for pos in STRATEGIES
        for neg in STRATEGIES
        if "semihard" not in (pos, neg) or {pos, neg} & {"easy", "hard"}
    },
    **{
        f"batch_easy_hard {pos} {neg} in ranges": of_strategies(pos, neg, (0.6, 1.6), (0.9, 1.5))
        for pos, neg in [("easy", "semihard"), ("hard", "hard"), ("all", "easy")]
    },
}
LOOPED = pytest.mark.parametrize("name", ALL)
MINERS: dict[str, Callable[..., Miner]] = {name: miner for name, (miner, _, _) in ALL.items()} | {
    "distance_weighted": M.DistanceWeightedMiner,
    "hdc": M.HDCMiner,
    "uniform_histogram": M.UniformHistogramMiner,
}
"""Those above, and those that draw or leave open what they find, which have tests of their own."""
every = pytest.mark.parametrize("name", MINERS)
OWN_DISTANCE = ("angular", "distance_weighted")
UNTIED = [name for name in UNSELECTED if name != "duplicate and zero rows"]


def found(selection: Any) -> Any:
    columns = selection.columns()
    return (entries(columns[:2]), entries(columns[2:])) if isinstance(selection, Pairs) else entries(columns)


def mined(miner: Miner, *batch: Any) -> Any:
    torch.manual_seed(0)
    return miner(*batch)


@pytest.mark.checks("loop", "miner")
@LOOPED
@pytest.mark.parametrize("scenario", UNTIED)
def test_finds_what_the_loop_finds(name: str, scenario: str) -> None:
    miner, loop, distance = ALL[name]
    case = SCENARIOS[scenario]()
    with torch.no_grad():
        want = loop(DISTANCES[distance][1], case.x, case.references, case.chosen)
    assert found(miner()(case.x, case.labels, case.ref, case.ref_labels)) == want


@pytest.mark.checks("distances", "miner")
@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith(OWN_DISTANCE)])
@pytest.mark.parametrize("distance", ["lp p=1", "lp squared", "dot raw", "snr"])
def test_works_with_every_distance(name: str, distance: str) -> None:
    miner, loop, _ = ALL[name]
    ours, measure = DISTANCES[distance]
    case = batch([0, 1, 0, 1, 2, 0, 1, 2])
    with torch.no_grad():
        want = loop(measure, case.x, case.x, case.chosen)
    assert found(miner(distance=ours())(case.x, case.labels)) == want


@every
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_batch_is_mined(name: str, scenario: str) -> None:
    case = SCENARIOS[scenario]()
    selection = mined(MINERS[name](), case.x, case.labels, case.ref, case.ref_labels)
    Pipeline(ContrastiveLoss(), MINERS[name]())(
        case.x, case.labels, ref_embeddings=case.ref, ref_labels=case.ref_labels
    )
    assert all(column.dtype is torch.int64 for column in selection.columns())


@LOOPED
def test_mining_in_tiles_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case, miner = batch([0, 1, 0, 1, 2, 0, 1, 2, 0]), ALL[name][0]()
    want = miner(case.x, case.labels)
    monkeypatch.setattr("metricreg.components.miner.tile_values", lambda _: 18)  # two anchors a tile
    got = miner(case.x, case.labels)
    for g, w in zip(got.columns(), want.columns(), strict=True):
        assert torch.equal(g, w)


@every
def test_what_is_mined_is_right_for_any_labels_and_duplicates(name: str) -> None:
    x = rows(len(LARGE_LABELS)).detach()
    x[1], x[2] = x[0], x[0]
    selection = mined(MINERS[name](), x, LARGE_LABELS)
    columns = selection.columns()
    anchor, positive = columns[:2]
    anchor2, negative = (columns[0], columns[2]) if isinstance(selection, Triplets) else columns[2:]
    assert ((LARGE_LABELS[anchor] == LARGE_LABELS[positive]) & (anchor != positive)).all()
    assert (LARGE_LABELS[anchor2] != LARGE_LABELS[negative]).all()


@every
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_mined_in_float32(name: str, dtype: torch.dtype) -> None:
    case, miner = batch([0, 1, 0, 1, 2, 0, 1, 2]), MINERS[name]()
    half = case.x.detach().to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        got = mined(miner, half, case.labels)
    assert found(got) == found(mined(miner, half.float(), case.labels))


@every
def test_labels_are_needed(name: str) -> None:
    with pytest.raises(InputError, match="needs labels"):
        MINERS[name]()(rows(3), None)


def test_a_miner_refines_a_selection_that_the_batch_already_has() -> None:
    case = batch([0, 1, 0, 1, 2, 0, 1, 2])
    chosen = ([0, 0], [2, 5], [0], [1])
    selection = M.BatchHardMiner().selection(Batch.of(case.x, case.labels, tuples=chosen))
    columns = [c.tolist() for c in selection.columns()]
    assert (columns[0], columns[2]) == ([0], [1])
    assert columns[1][0] in (2, 5)


# -- what others' miners may get wrong -------------------------------------------------------------------------------


def made(columns: tuple[Any, ...], mine: bool = False) -> Miner:
    class Made(Miner):
        pass

    def give(self: Miner, batch: Batch) -> Any:
        kind = Triplets if len(columns) == 3 else Pairs if len(columns) == 4 else tuple
        return kind(*columns) if columns else columns

    setattr(Made, "mine" if mine else "select", give)
    return Made()


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0, 1], [1, 0], [2, 12]), "gave as negative indices from 2 to 12; expected 0 to 9"),
        (([0, 10], [1, 0], [2, 2]), "gave as anchor indices from 0 to 10; expected 0 to 9"),
        (([0], [1], [-1]), "indices from -1 to -1"),
        (([0], [1], [0], [1, 2]), r"lists of different lengths: \[1, 1, 1, 2\]"),
        ((), "returned tuple; expected Pairs or Triplets"),
    ],
)
def test_what_a_miner_gives_is_checked(columns: tuple[Any, ...], message: str, mine: bool) -> None:
    miner = made(tuple(torch.tensor(column) for column in columns), mine)
    with pytest.raises(MetricregError, match=message):
        miner(rows(10), [0, 1] * 5)


@pytest.mark.parametrize("mine", [True, False])
def test_indices_of_another_type_are_refused(mine: bool) -> None:
    for column in (torch.tensor([0.0]), torch.tensor([[0]]), [0]):
        with pytest.raises(MetricregError, match=r"gave as anchor .*; expected a list of indices: int64, one axis"):
            made((column, torch.tensor([1]), torch.tensor([2])), mine)(rows(10), [0, 1] * 5)


@pytest.mark.parametrize("mine", [True, False])
def test_unsorted_tuples_of_a_miner_are_sorted(mine: bool) -> None:
    triplets = tuple(torch.tensor(column) for column in ([5, 0, 3], [1, 2, 9], [2, 1, 4]))
    x, labels = rows(10), torch.tensor([0, 1] * 5)
    for plan in FEW_PLANS.values():
        got = ContrastiveLoss()(x, labels, tuples=made(triplets, mine)(x, labels), execution=plan)
        torch.testing.assert_close(got, ContrastiveLoss()(x, labels, tuples=triplets))
    pairs = (*triplets[:2], *triplets[:2])
    found = made(pairs, mine)(x, labels)
    assert isinstance(found, Pairs)
    assert found.columns()[0].tolist() == [0, 3, 5]


@every
def test_a_nan_is_not_hidden_by_what_is_selected(name: str) -> None:
    for rows_hit in ([3], range(10)):
        x = rows(10).detach()
        x[list(rows_hit), 1] = torch.nan
        x.requires_grad_()
        for loss in (ContrastiveLoss(), SupConLoss(), TripletMarginLoss()):
            assert Pipeline(loss, MINERS[name]())(x, [0, 1] * 5).isnan()
            assert loss(x, tuples=([0], [2], [1])).isnan()


@pytest.mark.parametrize("miner", [M.TripletMarginMiner(margin=-10.0), M.AngularMiner(angle=89.0)])
def test_triplets_are_looked_at_in_bounded_memory(miner: Miner) -> None:
    x = rows(240, dtype=torch.float32).detach()
    with LargestTensor() as seen:
        miner(x, torch.arange(240) % 2)
    assert seen.numel <= 2 * CPU_TILE_VALUES < 240 * 120 * 240


@pytest.mark.parametrize(
    "miner",
    [
        M.PairMarginMiner(pos_margin=2.0, neg_margin=0.1),
        M.BatchEasyHardMiner(),
        M.DistanceWeightedMiner(),
        M.HDCMiner(filter_percentage=0.02),
        M.UniformHistogramMiner(),
    ],
    ids=lambda miner: type(miner).__name__,
)
def test_pairs_are_looked_at_in_bounded_memory(miner: Miner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.components.miner.tile_values", lambda _: 4000)
    x, labels = rows(400, dtype=torch.float32).detach(), torch.arange(400) % 100
    with LargestTensor() as seen:
        found = miner(x, labels)
    assert seen.numel <= 12000 + 2 * sum(map(len, found.columns())) < 400 * 400 / 3


@pytest.mark.parametrize(("device", "values"), [("cpu", CPU_TILE_VALUES), ("cuda", GPU_TILE_VALUES)])
def test_tiles_are_as_large_as_those_of_a_loss_on_the_device(device: str, values: int) -> None:
    class Wide(Miner):
        def width(self, batch: Batch) -> int:
            return values // 2

    with assume_device(device):
        assert [len(part) for _, part in Wide().tiles(Batch.of(rows(5), [0] * 5))] == [2, 2, 1]


def test_pairs_here_and_triplets_there_are_refused() -> None:
    class Torn(Miner):
        def width(self, batch: Batch) -> int:
            return CPU_TILE_VALUES

        def select(self, batch: Batch) -> Pairs | Triplets:
            none = torch.zeros(0, dtype=torch.long)
            assert batch.self_index is not None
            return Pairs(*[none] * 4) if int(batch.self_index[0]) % 2 else Triplets(*[none] * 3)

    with pytest.raises(MetricregError, match=r"Torn\.select returned Pairs for some anchors and Triplets for others"):
        Torn()(rows(3), [0, 0, 1])


def test_a_miner_in_multiple_sees_the_whole_batch() -> None:
    x, labels = rows(10), torch.tensor([0, 1] * 5)
    own = M.TripletMarginMiner(type_of_triplets="semihard")
    both = Pipeline(MultipleLosses([TripletMarginLoss(margin=0.5)], miners=[own]), M.BatchHardMiner())
    alone = Pipeline(TripletMarginLoss(margin=0.5), own)
    assert alone(x, labels) > 0
    torch.testing.assert_close(both(x, labels), alone(x, labels))


@pytest.mark.parametrize(
    "miner", [M.HDCMiner(1.0, distance=CosineSimilarity()), M.UniformHistogramMiner(distance=CosineSimilarity())]
)
def test_pairs_with_nan_are_left_out(miner: Miner) -> None:
    x = rows(6).detach()
    x[3] = torch.nan
    for column in miner(x, [0, 1, 0, 1, 0, 1]).columns():
        assert column.tolist()
        assert 3 not in column


# -- tuples_per_anchor ------------------------------------------------------------------------------------------------


def counts_of(column: Tensor, anchors: int) -> list[int]:
    return column.bincount(minlength=anchors).tolist()


@every
@pytest.mark.parametrize("each", [1, 2])
def test_at_most_so_many_tuples_of_an_anchor_are_kept(name: str, each: int) -> None:
    scenario = SCENARIOS["balanced"]()
    x, labels = scenario.x.detach(), scenario.labels
    torch.manual_seed(0)
    all_of_them = MINERS[name]()(x, labels)
    torch.manual_seed(0)
    some = MINERS[name](tuples_per_anchor=each)(x, labels)
    assert type(some) is type(all_of_them)
    groups = [(0, 1, 2)] if isinstance(some, Triplets) else [(0, 1), (2, 3)]
    for group in groups:
        whole = [all_of_them.columns()[k] for k in group]
        kept = [some.columns()[k] for k in group]
        assert counts_of(kept[0], 10) == [min(n, each) for n in counts_of(whole[0], 10)]
        assert set(entries(tuple(kept))) <= set(entries(tuple(whole)))
        assert (kept[0].diff() >= 0).all()


def test_which_tuples_are_kept_is_drawn_evenly() -> None:
    triplets = Triplets(*torch.tensor([[0, 0, 0, 0, 2, 2], [1, 1, 1, 1, 0, 0], [2, 3, 4, 5, 6, 7]]))
    torch.manual_seed(0)
    drawn = torch.cat([triplets.subsample(2).negative for _ in range(2000)]).bincount(minlength=8)
    assert drawn[6:].tolist() == [2000, 2000]
    assert ((drawn[2:6] - 1000).abs() < 100).all()  # a standard deviation is 22


def test_a_number_of_tuples_is_checked() -> None:
    for wrong in (0, -1, "some", 1.5, True):
        with pytest.raises(MetricregError, match="tuples_per_anchor"):
            M.BatchHardMiner(tuples_per_anchor=wrong)  # type: ignore[arg-type]


def test_the_slots_of_a_miner_round_trip() -> None:
    spec = {
        "version": 1,
        "loss": "contrastive",
        "miner": {"name": "triplet_margin", "tuples_per_anchor": 3, "match": {"name": "jaccard", "threshold": 0.4}},
    }
    assert build(spec).to_spec() == spec
    full = build(spec).to_spec(defaults=True)["miner"]
    assert full["tuples_per_anchor"] == 3
    assert build({"loss": "contrastive", "miner": "angular"}).to_spec(defaults=True)["miner"] == {
        "name": "angular",
        "angle": 20.0,
        "match": None,
        "tuples_per_anchor": "all",
    }
