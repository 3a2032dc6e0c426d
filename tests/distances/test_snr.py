"""SNRDistance: anchors without signal."""

from __future__ import annotations

import pytest
import torch

from metricreg.distances import SNRDistance
from metricreg.losses import ContrastiveLoss
from tests.oracle import rows, value_and_gradients


def test_it_is_the_noise_of_the_other_over_the_signal_of_the_anchor() -> None:
    x, y = torch.tensor([[1.0, -1.0]]), torch.tensor([[3.0, -1.0]])
    assert SNRDistance(normalize=False)(x, y).item() == 1.0
    assert SNRDistance(normalize=False)(y, x).item() == 0.25


def test_the_scale_of_raw_embeddings_does_not_matter() -> None:
    x = rows(4, dtype=torch.float32).detach()
    want = SNRDistance(normalize=False)(x)
    for scale in (1e-6, 1e6):
        torch.testing.assert_close(SNRDistance(normalize=False)(x * scale), want, rtol=1e-4, atol=0)


@pytest.mark.parametrize("norm", [1e-6, 1.0, 1e12, 1e15])
def test_the_gradient_of_raw_embeddings_is_right_at_any_scale(norm: float) -> None:
    gradients = []
    for dtype in (torch.float32, torch.float64):
        x = (rows(6, dtype=torch.float32).detach() * norm).to(dtype).requires_grad_()
        gradients += torch.autograd.grad(SNRDistance(normalize=False)(x).sum(), x)
    torch.testing.assert_close(gradients[0] * norm, gradients[1].float() * norm, rtol=1e-4, atol=1e-5)


def test_an_anchor_without_variance_is_finite_as_anchor_and_as_other() -> None:
    for normalize in (True, False):
        x = rows(4, dtype=torch.float32).detach()
        x[0], x[2] = 0.0, 2.0
        x.requires_grad_()
        for part in value_and_gradients(ContrastiveLoss(distance=SNRDistance(normalize))(x, [0, 0, 1, 1]), [x]):
            assert part.isfinite().all()
