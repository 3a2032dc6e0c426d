"""What is special about AdaFaceLoss; its formula is in test_formulas."""

from __future__ import annotations

import math
import statistics

import pytest
import torch

from metricreg import Execution
from metricreg.losses import AdaFaceLoss
from tests.losses.cases import LENGTHS
from tests.losses.cases import adaface as loss_of
from tests.oracle import (
    DIM,
    FEW_PLANS,
    SCENARIOS,
    Scenario,
    assert_close,
    batch,
    check,
    proxy_loss,
    rows,
    value_and_gradients,
)
from tests.reference.proxy_losses import adaface


def test_lengths_start_as_those_of_the_paper() -> None:
    loss = AdaFaceLoss(num_classes=4, embedding_size=DIM).double().eval()
    check(loss, proxy_loss(adaface, loss.proxies), SCENARIOS["balanced"]())


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.5, 2.9, math.pi])
@pytest.mark.parametrize("length", [1e-6, 1.0, 2.0, 3.0, 1e6])
def test_angles_end_at_0_and_180_degrees(length: float, angle: float) -> None:
    loss = loss_of(margin=0.7)
    first, other = torch.nn.functional.normalize(loss.proxies.detach()[:2])
    across = torch.nn.functional.normalize(other - (other @ first) * first, dim=0)
    x = (length * (math.cos(angle) * first + math.sin(angle) * across)).detach()[None].requires_grad_()
    case = Scenario(x, torch.tensor([0]))
    want = proxy_loss(adaface, loss.proxies, margin=0.7, **LENGTHS)(case)
    found = value_and_gradients(loss(x, case.labels), [x, loss.proxies])
    torch.testing.assert_close(found[0], want.detach(), rtol=1e-6, atol=1e-9)
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize("plan", FEW_PLANS.values(), ids=FEW_PLANS.keys())
def test_lengths_are_followed_from_step_to_step(plan: Execution) -> None:
    loss, mean, std = loss_of(momentum=0.25).train(), LENGTHS["mean"], LENGTHS["std"]
    for seed, labels in enumerate(([0, 1, 2, 3, 0], [2, 2, 1], [3], [0, 3, 3, 1, 1, 1, 2])):
        case = batch(labels, seed)
        leaves = [case.x, loss.proxies]
        want = value_and_gradients(proxy_loss(adaface, loss.proxies, mean=mean, std=std)(case), leaves)
        assert_close(value_and_gradients(loss(case.x, case.labels, execution=plan), leaves), want, 1e-10)
        lengths = [float(a.norm()) for a in case.x.detach()]
        mean += 0.25 * (statistics.mean(lengths) - mean)
        std += 0.25 * (statistics.stdev(lengths) - std) if len(lengths) > 1 else 0.0
        assert float(loss.mean) == pytest.approx(mean)
        assert float(loss.std) == pytest.approx(std)


def test_lengths_are_forgotten_in_evaluation_on_an_empty_batch_and_where_there_is_nan() -> None:
    loss = loss_of()
    loss(rows(4), [0, 1, 2, 3])
    loss.train()
    loss(rows(0), [])
    assert loss(rows(2) * torch.nan, [0, 1]).isnan()
    assert {"mean": float(loss.mean), "std": float(loss.std)} == LENGTHS


def test_lengths_all_alike_give_a_finite_loss() -> None:
    loss = loss_of(momentum=1.0).train()
    x = torch.nn.functional.normalize(rows(4).detach()).requires_grad_()
    for _ in range(3):
        for part in value_and_gradients(loss(x, [0, 1, 2, 3]), [x, loss.proxies]):
            assert part.isfinite().all()
    assert float(loss.std) == pytest.approx(0.0, abs=1e-7)
