"""The matches against their loops, in losses, miners and the engine; and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import metricreg
from metricreg import Batch, Execution, InputError, Match, MetricregError, Pairs, SpecError
from metricreg import losses as L
from metricreg import matches as Ma
from metricreg import miners as M
from metricreg.reducers import ClassWeightedReducer
from tests.oracle import DISTANCES, PAIR_LOSSES, PROXY_LOSSES, assert_close, reduced, rows, value_and_gradients
from tests.reference import matches as reference
from tests.reference import reducers
from tests.reference.rank_losses import fast_ap, nca, pnp, recall_at_k, smooth_ap
from tests.reference.reducers import Anchors
from tests.reference.selection import listed

SETS = torch.tensor(
    [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
)
REF_SETS = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]])
MATCHES: dict[str, tuple[Callable[[], Match], Callable[[set[int], set[int]], bool]]] = {
    "share_any": (Ma.ShareAnyMatch, lambda a, b: bool(a & b)),
    "jaccard": (Ma.JaccardMatch, lambda a, b: reference.jaccard(a, b) >= 0.5),
    "jaccard of a third": (lambda: Ma.JaccardMatch(1 / 3), lambda a, b: reference.jaccard(a, b) >= 1 / 3),
    "jaccard of the same": (lambda: Ma.JaccardMatch(1.0), lambda a, b: a == b),
}
TAKE_A_MATCH = [name for name in PAIR_LOSSES if name not in ("npairs", "multi_supcon")]
WEIGHED: dict[str, tuple[Callable[..., Any], str]] = {
    "fast_ap": (fast_ap, "lp squared"),
    "nca": (nca, "lp squared"),
    "pnp": (pnp, "cosine"),
    "recall_at_k": (recall_at_k, "cosine"),
    "smooth_ap": (smooth_ap, "cosine"),
}
"""Losses whose tuples say how much each anchor counts, with their loops."""
PLANS = {"dense": Execution("dense"), "tiled": Execution("tiled", tile=3)}
matches = pytest.mark.parametrize("name", MATCHES)


def pairs_of(name: str, sets: Tensor, ref_sets: Tensor | None = None) -> tuple[Tensor, ...]:
    refs = None if ref_sets is None else reference.sets_of(ref_sets.tolist())
    lists = reference.pairs(MATCHES[name][1], reference.sets_of(sets.tolist()), refs)
    return tuple(torch.tensor(column, dtype=torch.long) for column in lists)


class Levels(Match):
    """Labels [N, 2], a family and a species: positives share both, negatives neither."""

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        return (labels[:, None] == ref_labels[None]).all(-1)

    def related(self, labels: Tensor, ref_labels: Tensor) -> tuple[Tensor, Tensor]:
        same_family = labels[:, None, 0] == ref_labels[None, :, 0]
        return self.positives(labels, ref_labels), ~same_family


class LearnedMatch(Match):
    """Compares what it has learned of each label."""

    def __init__(self) -> None:
        super().__init__()
        self.place = torch.nn.Parameter(torch.arange(8.0) // 2)

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        return (self.place[labels][:, None] - self.place[ref_labels][None]).abs() < 0.5


class Parity(Ma.SameLabelMatch):
    """Even with even, odd with odd."""

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        return labels[:, None] % 2 == ref_labels[None, :] % 2


@pytest.mark.checks("loop", "match")
@matches
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_finds_what_the_loop_finds(name: str, dtype: torch.dtype) -> None:
    for ref_embeddings, ref_sets in ((None, None), (torch.randn(5, 3), REF_SETS.to(dtype))):
        batch = Batch.of(torch.randn(8, 3), SETS.to(dtype), ref_embeddings=ref_embeddings, ref_labels=ref_sets)
        batch = batch.with_match(MATCHES[name][0]())
        a1, p, a2, n = pairs_of(name, SETS, None if ref_sets is None else REF_SETS)
        assert torch.equal(batch.positives.nonzero(), torch.stack([a1, p], 1))
        assert torch.equal(batch.negatives.nonzero(), torch.stack([a2, n], 1))
        index, counts = batch.positive_index
        found = sorted((a, int(j)) for a in range(8) for j in index[a][counts[a]])
        assert found == list(zip(a1.tolist(), p.tolist(), strict=True))
        part, part_counts = batch.rows(3, 7).positive_index
        assert torch.equal(part[part_counts], index[3:7][counts[3:7]])


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("loss", [name for name in TAKE_A_MATCH if name not in WEIGHED])
@pytest.mark.parametrize("name", ["share_any", "jaccard"])
def test_a_loss_with_a_match_is_the_loss_of_the_pairs_it_finds(name: str, loss: str, plan: Execution) -> None:
    """That a loss of listed pairs is right, the loops say."""
    make, x = PAIR_LOSSES[loss], rows(8)
    for ref, ref_sets in ((None, None), (rows(5, 1), REF_SETS)):
        pairs = Pairs.of(*pairs_of(name, SETS, ref_sets), repeats=False)
        leaves = [x] if ref is None else [x, ref]
        want = make()(x, tuples=pairs, ref_embeddings=ref, execution=Execution("dense"))
        got = make(match=MATCHES[name][0]())(x, SETS, ref_embeddings=ref, ref_labels=ref_sets, execution=plan)
        assert_close(value_and_gradients(got, leaves), value_and_gradients(want, leaves), 1e-10, f"{loss} {plan}")


@pytest.mark.parametrize("loss", WEIGHED)
@matches
def test_a_loss_on_whole_rows_has_the_positives_of_its_match(name: str, loss: str) -> None:
    x, chosen = rows(8), listed(8, pairs_of(name, SETS))
    formula, distance = WEIGHED[loss]
    value = reduced(formula(DISTANCES[distance][1], x, x, chosen), reducers.mean, Anchors(8, [0] * 8))
    want = value_and_gradients(value, [x])
    for plan in PLANS.values():
        got = PAIR_LOSSES[loss](match=MATCHES[name][0]())(x, SETS, execution=plan)
        assert_close(value_and_gradients(got, [x]), want, 1e-10, loss)


@pytest.mark.parametrize("loss", TAKE_A_MATCH)
@pytest.mark.parametrize("match", [Ma.SameLabelMatch, Ma.ShareAnyMatch, Ma.JaccardMatch])
def test_of_single_labels_every_match_is_equality(match: Callable[[], Match], loss: str) -> None:
    x, labels = rows(9), torch.tensor([5, -1, 2**40, 5, 5, -1, 2**40, 7, -1])
    want = value_and_gradients(PAIR_LOSSES[loss]()(x, labels), [x])
    for plan in PLANS.values():
        got = PAIR_LOSSES[loss](match=match())(x, labels, execution=plan)
        assert_close(value_and_gradients(got, [x]), want, 1e-12, loss)


def test_same_label_keeps_to_sorted_labels() -> None:
    batch = Batch.of(torch.randn(4, 2), [0, 1, 0, 1]).with_match(Ma.SameLabelMatch())
    assert batch.match is None


def test_a_pair_may_be_neither_positive_nor_negative() -> None:
    labels = torch.tensor([[0, 0], [0, 1], [0, 0], [1, 0], [1, 0], [2, 5]])
    x = rows(6)
    pairs = ([0, 2, 3, 4], [2, 0, 4, 3], *map(list, zip(*NEGATIVES, strict=True)))
    want = value_and_gradients(L.ContrastiveLoss()(x, tuples=pairs), [x])
    for plan in PLANS.values():
        got = L.ContrastiveLoss(match=Levels())(x, labels, execution=plan)
        assert_close(value_and_gradients(got, [x]), want, 1e-12)


NEGATIVES = [(a, j) for a in range(6) for j in range(6) if [0, 0, 0, 1, 1, 2][a] != [0, 0, 0, 1, 1, 2][j]]


@pytest.mark.parametrize("miner", [M.BatchHardMiner, M.TripletMarginMiner, M.MultiSimilarityMiner, M.AngularMiner])
@matches
def test_a_pipelines_miner_goes_by_the_match_of_the_loss(name: str, miner: Any) -> None:
    x, match = rows(8), MATCHES[name][0]()
    alone = miner(match=match)(x, SETS)
    pipeline = metricreg.Pipeline(L.ContrastiveLoss(match=match), miner())
    want = L.ContrastiveLoss()(x, tuples=alone)
    assert_close(value_and_gradients(pipeline(x, SETS), [x]), value_and_gradients(want, [x]), 1e-12)
    a1, p, a2, n = pairs_of(name, SETS)
    allowed = set(zip(a1.tolist(), p.tolist(), strict=True)), set(zip(a2.tolist(), n.tolist(), strict=True))
    columns = [c.tolist() for c in alone.columns()]
    first, second = (columns[:2], columns[2:]) if len(columns) == 4 else (columns[:2], columns[::2])
    assert set(zip(*first, strict=True)) <= allowed[0]
    assert set(zip(*second, strict=True)) <= allowed[1]


def test_a_miners_own_match_comes_first() -> None:
    x = rows(8)
    pipeline = metricreg.build(
        {
            "loss": {"name": "contrastive", "match": "share_any"},
            "miner": {"name": "triplet_margin", "match": {"name": "jaccard", "threshold": 0.4}},
        }
    )
    want = M.TripletMarginMiner(match=Ma.JaccardMatch(0.4))(x, SETS)
    torch.testing.assert_close(pipeline(x, SETS), L.ContrastiveLoss()(x, tuples=want))


def test_losses_in_multiple_have_matches_of_their_own() -> None:
    x, sets = rows(8), SETS.bool()
    parts = {"a": L.ContrastiveLoss(match=Ma.ShareAnyMatch()), "b": L.SupConLoss(match=Ma.JaccardMatch(0.4))}
    torch.testing.assert_close(L.MultipleLosses(parts)(x, sets), sum(part(x, sets) for part in parts.values()))
    mined = L.MultipleLosses([parts["a"]], miners=[M.BatchHardMiner()])(x, sets)
    torch.testing.assert_close(mined, metricreg.Pipeline(parts["a"], M.BatchHardMiner())(x, sets))


def test_a_match_of_ones_own_works_from_a_spec_and_is_described() -> None:
    registry = metricreg.Registry()
    for entry in metricreg.default_registry():
        registry.add(entry)
    metricreg.register(Levels, registry=registry)
    spec = {"version": 1, "loss": {"name": "supcon", "match": "local/levels"}}
    pipeline = metricreg.build(spec, registry=registry)
    assert pipeline.to_spec(registry=registry) == spec
    assert isinstance(pipeline.loss.match, Levels)
    definitions = metricreg.json_schema(registry)["$defs"]
    assert "match.local.levels" in definitions
    assert definitions["loss.supcon"]["properties"]["match"]["anyOf"][0] == {"$ref": "#/$defs/match"}


@pytest.mark.parametrize(
    ("method", "made", "says"),
    [
        ("positives", lambda mask: mask[:, :1], r"made \[8, 1\] of torch.bool of \[8\] and \[8\]; expected \[8, 8\]"),
        (
            "positives",
            lambda mask: mask.float(),
            r"made \[8, 8\] of torch.float32 of .* expected \[8, 8\] of torch.bool",
        ),
        ("positives", lambda mask: mask.tolist(), r"made list of \[8\] and \[8\]; expected"),
        ("positives", lambda mask: None, r"made NoneType of \[8\] and \[8\]; expected"),
        ("related", lambda mask: (mask[:, :1], mask), r"made \[8, 1\] of torch.bool of"),
        ("related", lambda mask: (mask, mask.float()), r"made \[8, 8\] of torch.float32 of"),
        ("related", lambda mask: mask, r".related returned \[8, 8\] of torch.bool; expected two masks"),
        ("related", lambda mask: (mask, mask, mask), r".related returned 3 of them; expected two masks"),
        ("related", lambda mask: None, r".related returned NoneType; expected two masks"),
        ("related", lambda mask: (mask, mask), " gives pairs that are both positive and negative"),
    ],
)
def test_what_a_match_gives_is_checked(method: str, made: Callable[[Tensor], Any], says: str) -> None:
    class Wrong(Ma.SameLabelMatch): ...

    setattr(Wrong, method, lambda self, labels, ref_labels: made(labels[:, None] == ref_labels[None, :]))
    with pytest.raises(MetricregError, match=f"Wrong ?{says}"):
        L.ContrastiveLoss(match=Wrong())(rows(8), torch.arange(8))


def test_a_check_that_returns_its_verdict_is_refused() -> None:
    class Verdict(Parity):
        def check(self, labels: Tensor) -> Any:
            return labels.ndim == 1

    with pytest.raises(MetricregError, match=r"Verdict\.check returned something; it raises an InputError"):
        L.ContrastiveLoss(match=Verdict())(rows(8), torch.arange(8))


@pytest.mark.parametrize("loss", TAKE_A_MATCH)
def test_a_match_may_compare_by_what_it_has_learned(loss: str) -> None:
    x, labels = rows(8), torch.arange(8)
    want = value_and_gradients(PAIR_LOSSES[loss]()(x, labels // 2), [x])
    for plan in PLANS.values():
        got = PAIR_LOSSES[loss](match=LearnedMatch())(x, labels, execution=plan)
        assert_close(value_and_gradients(got, [x]), want, 1e-12, loss)


def test_pairs_found_in_a_way_of_ones_own_are_not_those_of_equal_labels() -> None:
    class Renamed(Ma.SameLabelMatch): ...

    class Absolute(Ma.SameLabelMatch):
        def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
            return super().positives(labels.abs(), ref_labels.abs())

    assert [match().is_equality for match in (Parity, Absolute, Renamed)] == [False, False, True]
    x, labels = rows(8), torch.arange(8)
    torch.testing.assert_close(L.ContrastiveLoss(match=Parity())(x, labels), L.ContrastiveLoss()(x, labels % 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: L.ContrastiveLoss()(rows(8), SETS), 'need a match that compares them.*"share_any"'),
        (lambda: L.TripletMarginLoss()(rows(8), SETS), "need a match"),
        (lambda: M.BatchHardMiner()(rows(8), SETS), "need a match"),
        (lambda: L.ContrastiveLoss()(rows(8), SETS[:, :1]), r"got \[8, 1\]: give labels\[:, 0\]"),
        (lambda: L.NPairsLoss()(rows(8), SETS, tuples=([0], [1], [2])), "NPairsLoss takes one label.*are not for it$"),
        (lambda: PROXY_LOSSES["arcface"]()(rows(8), SETS), "ArcFaceLoss takes one label.*are not for it$"),
        (lambda: L.MarginLoss(num_classes=4)(rows(8), SETS), "MarginLoss takes one label.*are not for it$"),
        (
            lambda: L.ContrastiveLoss(match=Ma.ShareAnyMatch(), reducer=ClassWeightedReducer([1.0]))(rows(8), SETS),
            "class_weighted takes one label.*are not for it$",
        ),
        (lambda: L.ContrastiveLoss(match=Ma.SameLabelMatch())(rows(8), SETS), "same_label compares one label"),
        (lambda: L.ContrastiveLoss(match=Ma.ShareAnyMatch())(rows(8), SETS * 2), "0 and 1.*found 0 to 2"),
        (lambda: L.ContrastiveLoss(match=Ma.JaccardMatch())(rows(8), SETS - 1), "0 and 1.*found -1 to 0"),
        (lambda: L.MultiSupConLoss()(rows(8), SETS + 1), "0 and 1.*found 1 to 2"),
        (lambda: L.MultiSupConLoss()(rows(8), tuples=([0], [1], [2])), "needs labels, with tuples too"),
        (
            lambda: L.ContrastiveLoss()(rows(8), SETS[:5]),
            r"must be \[8\], one for each row.* or \[8, L\].*got \(5, 4\)",
        ),
        (lambda: L.ContrastiveLoss()(rows(8), SETS[:, :, None]), r"got \(8, 4, 1\)"),
        (lambda: L.ContrastiveLoss()(rows(8), SETS[:, 0].bool()), "must be integers; got torch.bool"),
        (lambda: L.ContrastiveLoss()(rows(8), SETS.float()), "must be integers; got torch.float32"),
        (
            lambda: L.ContrastiveLoss(match=Ma.ShareAnyMatch())(
                rows(8), SETS, ref_embeddings=rows(5, 1), ref_labels=REF_SETS[:, :3]
            ),
            r"labels are \[8, 4\] and ref_labels \[5, 3\]",
        ),
        (
            lambda: L.ContrastiveLoss(match=Ma.ShareAnyMatch())(
                rows(8), SETS, ref_embeddings=rows(5, 1), ref_labels=[0] * 5
            ),
            r"labels are \[8, 4\] and ref_labels \[5\]",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("loss", PROXY_LOSSES)
def test_losses_with_class_vectors_take_no_match(loss: str) -> None:
    with pytest.raises((SpecError, TypeError), match="match"):
        PROXY_LOSSES[loss](match=Ma.ShareAnyMatch())


def test_empty_batches_of_sets() -> None:
    for labels in (torch.zeros(0, 4, dtype=torch.long), torch.zeros(0, 0, dtype=torch.bool), []):
        x = rows(0)
        loss = L.SupConLoss(match=Ma.JaccardMatch())(x, labels)
        assert loss.item() == 0.0
        loss.backward()
    no_labels = torch.zeros(3, 0, dtype=torch.bool)
    assert L.SupConLoss(match=Ma.ShareAnyMatch())(rows(3), no_labels).item() == 0.0
