"""Every loss, reducer and distance that ship, tiled and dense: the same value and gradient, to rounding.

The batch has few positives an anchor among many references, so that the shortest way of each loss is taken.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from metricreg import Batch, Execution, Loss
from metricreg.exclusion import exclusion_of
from metricreg.reducers import ClassWeightedReducer
from tests.oracle import DISTANCES, LOSSES, PAIR_LOSSES, REDUCERS, assert_close, rows, takes, value_and_gradients

SIZES = itertools.cycle([1, 7, 33, 69, 70, 100])
LABELS = torch.tensor([0, 1, 2, 3, 3, 0, *range(4, 20), *range(10, 40), *range(22, 40)])
CLASSES = torch.arange(70) % 4
PAIRS = [(name, distance) for name in PAIR_LOSSES for distance in DISTANCES if takes(name, distance)]
OTHERS = [(name, None) for name in LOSSES if name not in PAIR_LOSSES]


def compare(loss: Loss, labels: Tensor, size: int) -> None:
    for dtype, of_value, of_gradient in ((torch.float64, 1e-12, 1e-12), (torch.float32, 1e-6, 1e-5)):
        loss, x = loss.to(dtype), rows(70, dtype=dtype)
        leaves = [x, *loss.parameters()]
        want = value_and_gradients(loss(x, labels, execution=Execution("dense")), leaves)
        got = value_and_gradients(loss(x, labels, execution=Execution("tiled", tile=size)), leaves)
        assert_close(got[:1], want[:1], of_value, f"{dtype}, tiles of {size}")
        assert_close(got, want, of_gradient, f"{dtype}, tiles of {size}")


@pytest.mark.parametrize(("name", "distance"), [*PAIRS, *OTHERS])
def test_tiled_is_dense_for_every_loss_distance_and_reducer(name: str, distance: str | None) -> None:
    slots = {} if distance is None else {"distance": DISTANCES[distance][0]}
    for reducer, (make_reducer, _) in REDUCERS.items():
        made = ClassWeightedReducer([0.5, 2.0] * 20) if reducer == "class_weighted" else make_reducer()
        loss = LOSSES[name](reducer=made, **{key: make() for key, make in slots.items()})
        compare(loss, CLASSES if distance is None else LABELS, next(SIZES))


@pytest.mark.parametrize("size", [1, 7, 33, 69, 70, 100])
@pytest.mark.parametrize("name", LOSSES)
def test_tiled_is_dense_for_every_loss_and_tile(name: str, size: int) -> None:
    compare(LOSSES[name](), CLASSES if name not in PAIR_LOSSES else LABELS, size)


def test_this_batch_lists_what_is_no_negative() -> None:
    assert len(LABELS) == 70
    assert exclusion_of(Batch.of(rows(70), LABELS).negatives) is not None
