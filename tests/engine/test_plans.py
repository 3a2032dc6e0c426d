"""Every loss, reducer and distance that ship, tiled and dense: the same value and gradient, to rounding.

The batch has few positives an anchor among many references, and columns are listed in the tiles and masked in the dense
plan, so that the shortest way of each loss is compared with the plainest.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from metricreg import Batch, Execution, Loss, Term
from metricreg.engine.evaluate import StepContext
from metricreg.reducers import ClassWeightedReducer
from tests.oracle import (
    DISTANCES,
    LOSSES,
    PAIR_LOSSES,
    REDUCERS,
    UNREDUCED,
    assert_close,
    rows,
    takes,
    value_and_gradients,
)

pytestmark = pytest.mark.no_cover  # what runs here very many times runs in other tests, too

DENSE = Execution("dense")
SIZES = [1, 7, 33, 69, 70, 100]
LABELS = torch.tensor([0, 1, 2, 3, 3, 0, *range(4, 20), *range(10, 40), *range(22, 40)])
CLASSES = torch.arange(70) % 4
PAIRS = [(name, distance) for name in PAIR_LOSSES for distance in DISTANCES if takes(name, distance)]
OTHERS = [(name, None) for name in LOSSES if name not in PAIR_LOSSES]


def results(
    loss: Loss, labels: Tensor, dtype: torch.dtype, execution: Execution, rounded: int | None = None
) -> list[Tensor]:
    loss, x = loss.to(dtype), rows(70, dtype=dtype)
    if rounded is not None:
        signs = torch.randint(2, x.shape, generator=torch.Generator().manual_seed(rounded)) * 2 - 1
        x = (x.detach() * (1.0 + torch.finfo(dtype).eps * signs)).requires_grad_()
    return value_and_gradients(loss(x, labels, execution=execution), [x, *loss.parameters()])


def off(got: Tensor, want: Tensor) -> float:
    """The largest difference, in parts of the largest entry."""
    return float((got.double() - want).abs().max() / max(float(want.abs().max()), 1e-4)) if want.numel() else 0.0


def compare(loss: Loss, labels: Tensor, size: int) -> None:
    def tiled(dtype: torch.dtype) -> list[Tensor]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 0)
            return results(loss, labels, dtype, Execution("tiled", tile=size))

    true = results(loss, labels, torch.float64, DENSE)
    assert_close(tiled(torch.float64), true, 1e-12, f"tiles of {size}")
    # in float32, as near to the truth as the dense plan is, and near to that
    dense, got = results(loss, labels, torch.float32, DENSE), tiled(torch.float32)
    for place, (g, d, t) in enumerate(zip(got, dense, true, strict=True)):
        within = (1e-5 if place else 1e-6) + 2.0 * off(d, t)
        if off(g, t) > within or off(g, d.double()) > 1.5 * within:  # or as it is of the same rows, rounded
            others = [results(loss, labels, torch.float32, DENSE, rounded)[place] for rounded in range(4)]
            within += 2.0 * max(off(other, t) for other in others)
        assert off(g, t) <= within, f"tiles of {size}: result {place}"
        assert off(g, d.double()) <= 1.5 * within, f"tiles of {size}: result {place}"


@pytest.mark.parametrize(("name", "distance"), [*PAIRS, *OTHERS])
def test_tiled_is_dense_for_every_loss_distance_and_reducer(name: str, distance: str | None) -> None:
    slots = {} if distance is None else {"distance": DISTANCES[distance][0]}
    first = [*PAIRS, *OTHERS].index((name, distance))
    for turn, (reducer, (make_reducer, _)) in enumerate(REDUCERS.items(), first):
        if distance is not None and turn % 3:
            continue  # a third of the reducers, of each distance others
        made = ClassWeightedReducer([0.5, 2.0] * 20) if reducer == "class_weighted" else make_reducer()
        given = {} if name in UNREDUCED else {"reducer": made}
        loss = LOSSES[name](**given, **{key: make() for key, make in slots.items()})
        compare(loss, CLASSES if distance is None else LABELS, SIZES[1 + turn // 3 % (len(SIZES) - 1)])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", LOSSES)
def test_tiled_is_dense_for_every_loss_and_tile(name: str, size: int) -> None:
    compare(LOSSES[name](), CLASSES if name not in PAIR_LOSSES else LABELS, size)


def test_this_batch_lists_what_is_no_negative_where_more_would_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Batch.of(rows(70), LABELS).with_context(StepContext(7, nn.Module(), True))
    assert batch.rows(0, 7).negative_mask.left_out is None
    monkeypatch.setattr("metricreg.engine.execution.MIN_LISTED_REFERENCES", 69)
    assert batch.rows(0, 7).negative_mask.left_out is not None


@pytest.mark.parametrize("plan", [Execution("dense"), Execution("tiled", tile=3)])
def test_a_loss_of_nothing_that_the_embeddings_are_has_gradient_zero(plan: Execution) -> None:
    class Detached(Loss):
        def terms(self, batch: Batch) -> Any:
            d = self.distance.between(batch).detach()
            return {"loss": Term(d, batch.positives, kind="pos_pair")}

    x = torch.randn(8, 4, requires_grad=True)
    Detached()(x, torch.arange(8) % 2, execution=plan).backward()
    assert x.grad is not None
    assert not x.grad.any()
