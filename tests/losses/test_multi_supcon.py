"""What is special about MultiSupConLoss; its formula is in test_formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metricreg import Pairs
from metricreg.losses import MultiSupConLoss, SupConLoss
from tests.checks import record
from tests.oracle import DISTANCES, PLANS, REDUCERS, assert_close, reduced, rows, value_and_gradients
from tests.reference.matches import jaccard, pairs, sets_of
from tests.reference.pair_losses import multi_supcon
from tests.reference.reducers import Anchors
from tests.reference.selection import listed

SETS = torch.tensor(
    [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
)
REF_SETS = torch.tensor([[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, 0]])


def agrees(
    loss: MultiSupConLoss,
    distance: str = "cosine",
    reducer: str = "avg_non_zero",
    ref: bool = False,
    tuples: Any = None,
    dtype: torch.dtype = torch.int64,
    **parameters: Any,
) -> None:
    x, y = rows(8), rows(5, 1)
    threshold = parameters.pop("threshold", 0.5)
    sets, ref_sets = sets_of(SETS.tolist()), sets_of(REF_SETS.tolist()) if ref else None
    if tuples is None:
        chosen = listed(8, pairs(lambda a, b: jaccard(a, b) >= threshold, sets, ref_sets))
    else:
        chosen = listed(8, tuples)
    formula = multi_supcon(DISTANCES[distance][1], x, y if ref else x, chosen, sets, ref_sets or sets, **parameters)
    leaves = [x, y] if ref else [x]
    want = value_and_gradients(reduced(formula, REDUCERS[reducer][1], Anchors(8, [0] * 8)), leaves)
    given = {"ref_embeddings": y, "ref_labels": REF_SETS.to(dtype)} if ref else {}
    for name, plan in PLANS.items():
        total = loss(x, SETS.to(dtype), tuples=tuples, execution=plan, **given)
        assert_close(value_and_gradients(total, leaves), want, 1e-10, name)
    record("loss", "multi_supcon", "loop")


@pytest.mark.parametrize("ref", [False, True])
@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
def test_agrees_with_the_formula(dtype: torch.dtype, ref: bool) -> None:
    agrees(MultiSupConLoss(), dtype=dtype, ref=ref)


@pytest.mark.parametrize("ref", [False, True])
@pytest.mark.parametrize(
    "parameters", [{"temperature": 0.05, "threshold": 1.0}, {"temperature": 2.0, "threshold": 0.2}, {"threshold": 0.0}]
)
def test_agrees_with_the_formula_for_other_parameters(parameters: dict[str, Any], ref: bool) -> None:
    agrees(MultiSupConLoss(**parameters), ref=ref, **parameters)


@pytest.mark.parametrize("distance", ["lp squared", "lp p=1", "dot raw", "snr"])
def test_works_with_other_distances(distance: str) -> None:
    agrees(MultiSupConLoss(distance=DISTANCES[distance][0]()), distance=distance)


@pytest.mark.parametrize("reducer", [name for name in REDUCERS if name != "class_weighted"])
def test_works_with_every_reducer(reducer: str) -> None:
    agrees(MultiSupConLoss(reducer=REDUCERS[reducer][0]()), reducer=reducer)


@pytest.mark.parametrize("tuples", [([0, 0, 1], [4, 1, 6], [0, 1, 0], [2, 3, 3]), ([0, 1, 1], [4, 6, 0], [2, 3, 3])])
def test_weighs_listed_pairs_by_their_labels(tuples: tuple[list[int], ...]) -> None:
    agrees(MultiSupConLoss(), tuples=tuples)


def test_a_pair_that_is_listed_twice_counts_once() -> None:
    x = rows(8)
    once, twice = (Pairs.of(*map(torch.tensor, ([0] * n, [4] * n, [0], [2]))) for n in (1, 2))
    torch.testing.assert_close(MultiSupConLoss()(x, SETS, tuples=once), MultiSupConLoss()(x, SETS, tuples=twice))


def test_of_single_labels_it_is_supcon() -> None:
    x, labels = rows(8), torch.tensor([0, 1, 0, 2, 1, 1, -3, 2**40])
    want = value_and_gradients(SupConLoss()(x, labels), [x])
    one_hot: Tensor = torch.unique(labels)[None, :] == labels[:, None]
    for given in (labels, one_hot, one_hot.long()):
        assert_close(value_and_gradients(MultiSupConLoss()(x, given), [x]), want, 1e-12)
