"""What every loss does with the inputs that are hard on numerics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from metricreg import Execution
from tests.oracle import (
    AT_ONCE,
    BALANCED,
    FEW_PLANS,
    LOSSES,
    MAPPED,
    NO_DERIVATIVE,
    PAIR_LOSSES,
    assert_close,
    rows,
    value_and_gradients,
    with_references,
)

DENSE, TILED = Execution("dense"), Execution("tiled", tile=3)
LABELS = torch.tensor(BALANCED)
NOT_MAPPED = {"supcon", "multi_supcon", "dynamic_soft_margin", "decoupled_contrastive with weights"}
"""Go by masks of values, or count into a buffer, which torch.vmap cannot follow."""
plans = pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
every_loss = pytest.mark.parametrize("name", LOSSES)
pair_losses = pytest.mark.parametrize("name", PAIR_LOSSES)


@pytest.mark.parametrize("name", ["contrastive", "arcface"])
@pytest.mark.parametrize("kind", [list, tuple, np.array, lambda labels: torch.tensor(labels, dtype=torch.int32)])
def test_labels_may_be_a_list_an_array_or_a_narrow_tensor(name: str, kind: Any) -> None:
    loss, x = LOSSES[name](), rows(10)
    torch.testing.assert_close(loss(x, kind(BALANCED)), loss(x, LABELS), rtol=0, atol=0)


@pair_losses
def test_half_precision_meets_a_float32_reference_set(name: str) -> None:
    loss, scenario = PAIR_LOSSES[name](), with_references([0, 1, 2], [0, 1, 2, 0])
    x = scenario.x.detach().bfloat16().requires_grad_()
    y = scenario.references.detach().float().requires_grad_()
    total = loss(x, scenario.labels, ref_embeddings=y, ref_labels=scenario.ref_labels)
    grads = value_and_gradients(total, [x, y])
    assert (grads[1].dtype, grads[2].dtype) == (torch.bfloat16, torch.float32)
    assert grads[2].isfinite().all()


# an anchor without signal has a distance of 10^7 in float32, whose slope half precision cannot hold
@pytest.mark.parametrize("name", [name for name in LOSSES if name != "snr_contrastive"])
@plans
def test_a_zero_embedding_in_half_precision_has_a_finite_gradient(name: str, plan: Execution) -> None:
    x = rows(10).detach().half()
    x[2] = 0.0
    x.requires_grad_()
    total, gradient = value_and_gradients(LOSSES[name]()(x, LABELS, execution=plan), [x])
    assert total.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in MAPPED | AT_ONCE])
def test_a_tiled_backward_pass_inside_autocast_is_exact_too(name: str) -> None:
    loss, x = LOSSES[name](), rows(10, dtype=torch.float32).detach().requires_grad_()
    want = value_and_gradients(loss(x, LABELS, execution=TILED), [x])
    with torch.autocast("cpu", torch.bfloat16):
        got = value_and_gradients(loss(x, LABELS, execution=TILED), [x])
    assert_close(got, want, 1e-6)


@pair_losses
@plans
@pytest.mark.parametrize("labels", [[0], [0, 1, 2], [5, 5, 5]])
def test_a_nan_is_not_hidden_where_there_is_nothing_to_compare(name: str, plan: Execution, labels: list[int]) -> None:
    x, y = rows(len(labels)).detach(), rows(2, 1).detach()
    x[0, 1] = torch.nan
    assert PAIR_LOSSES[name]()(x, labels, execution=plan).isnan()
    arguments: dict[str, Any] = {"ref_embeddings": y, "ref_labels": [7, 8], "execution": plan}
    assert PAIR_LOSSES[name]()(x, labels, **arguments).isnan()
    arguments["ref_embeddings"] = y * torch.nan
    assert PAIR_LOSSES[name]()(x[:0], [], **arguments).isnan()


def smooth(name: str) -> Any:
    """The loss away from its kinks, which finite differences would straddle, and from what has no gradient."""
    return LOSSES[name](**{"triplet_margin": {"margin": 0.31}, "adaface": {"margin": 0.0}}.get(name, {})).double()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in NO_DERIVATIVE])
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    loss, x = smooth(name), rows(6, 5)
    assert torch.autograd.gradcheck(lambda z: loss(z, LABELS[:6], execution=DENSE), (x,))


@pytest.mark.parametrize("name", [name for name in PAIR_LOSSES if name not in NO_DERIVATIVE])
def test_the_second_derivative_of_the_dense_plan_is_that_of_finite_differences(name: str) -> None:
    loss, x = smooth(name), rows(5, 5)
    labels: Sequence[int] = [0, 1, 0, 1, 2]
    assert torch.autograd.gradgradcheck(lambda z: loss(z, labels, execution=DENSE), (x,))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", [name for name in PAIR_LOSSES if name not in NOT_MAPPED])
def test_the_dense_plan_is_differentiated_for_many_batches_at_once(name: str) -> None:
    loss, many = PAIR_LOSSES[name](), torch.stack([rows(10), rows(10, 1)]).detach().requires_grad_()

    def value(x: Tensor) -> Tensor:
        return loss(x, LABELS, execution=DENSE)

    want = torch.stack([torch.autograd.grad(value(x), x)[0] for x in many])
    got = torch.func.grad(lambda x: torch.func.vmap(value)(x).sum())(many.detach())
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)


@every_loss
@plans
def test_what_wants_no_gradient_has_the_same_value_and_no_graph(name: str, plan: Execution) -> None:
    loss, x = LOSSES[name](), rows(10)
    want = loss(x, LABELS, execution=plan).detach()
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            got = loss(x.detach().clone(), LABELS, execution=plan)
        assert not got.requires_grad
        torch.testing.assert_close(got.clone(), want, rtol=1e-12, atol=0)
    frozen = loss.requires_grad_(False)(x.detach(), LABELS, execution=plan)
    assert not frozen.requires_grad
    torch.testing.assert_close(frozen, want, rtol=1e-12, atol=0)


@every_loss
def test_embeddings_of_large_and_small_norm_stay_finite(name: str) -> None:
    scale = torch.logspace(-8, 8, 10)[:, None]
    x = (rows(10, dtype=torch.float32).detach() * scale).requires_grad_()
    for part in value_and_gradients(LOSSES[name]()(x, LABELS), [x]):
        assert part.isfinite().all()


@every_loss
def test_a_call_leaves_the_loss_and_its_input_as_they_were(name: str) -> None:
    loss, x = LOSSES[name](), rows(10)
    state, before = {k: v.clone() for k, v in loss.state_dict().items()}, x.detach().clone()
    loss(x, LABELS, execution=TILED).backward()
    assert torch.equal(x.detach(), before)
    assert all(torch.equal(v, state[k]) for k, v in loss.state_dict().items())


def test_infinite_embeddings_are_not_taken_for_a_finite_loss() -> None:
    x: Tensor = rows(10).detach()
    x[0, 0] = torch.inf
    for name in LOSSES:
        assert not LOSSES[name]()(x, LABELS).isfinite(), name


@pair_losses
@pytest.mark.parametrize("each", [20, 3])
def test_a_block_may_be_without_positives(name: str, each: int) -> None:
    """As of a batch sorted by classes, off the diagonal; with more references than have masks."""
    loss, x, labels = PAIR_LOSSES[name](), rows(300), torch.arange(300) // each
    found = [value_and_gradients(loss(x, labels, execution=plan), [x]) for plan in (DENSE, Execution("tiled", tile=50))]
    assert_close(*found, 1e-10)


@pytest.mark.parametrize("name", ["contrastive", "margin", "snr_contrastive", "intra_pair_variance"])
def test_gradients_of_many_batches_at_once_where_positives_are_listed(name: str) -> None:
    loss, many, labels = (
        LOSSES[name](),
        torch.stack([rows(300).detach(), rows(300, 1).detach()]),
        torch.arange(300) // 3,
    )

    def gradient(x: Tensor) -> Tensor:
        found: Tensor = torch.func.grad(lambda z: loss(z, labels, execution=DENSE))(x)
        return found

    torch.testing.assert_close(torch.func.vmap(gradient)(many), torch.stack([gradient(x) for x in many]))
