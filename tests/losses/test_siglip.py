"""SigLIPLoss against its loop, and against the paper's pseudocode."""

from __future__ import annotations

import math

import pytest
import torch

from metricreg.losses import SigLIPLoss
from tests.oracle import DISTANCES, rows, value_and_gradients


def test_two_views_give_what_the_pseudocode_of_the_paper_gives() -> None:
    x, y, loss, n = rows(6), rows(6, 1), SigLIPLoss().double(), 6
    images, texts = (torch.nn.functional.normalize(z) for z in (x, y))
    logits = images @ texts.T * loss.temperature.log.exp() + loss.bias
    signs = 2.0 * torch.eye(n, dtype=torch.float64) - 1.0
    want = -torch.nn.functional.logsigmoid(signs * logits).sum() / n
    total = loss(x, torch.arange(n), ref_embeddings=y, ref_labels=torch.arange(n))
    leaves = [x, y, loss.temperature.log, loss.bias]
    for g, w in zip(value_and_gradients(total, leaves), value_and_gradients(want, leaves), strict=True):
        torch.testing.assert_close(g, w)


def test_the_factor_and_the_bias_are_learned_and_start_as_in_the_paper() -> None:
    loss = SigLIPLoss()
    assert {name: float(p.detach()) for name, p in loss.named_parameters()} == pytest.approx(
        {"temperature.log": math.log(10.0), "bias": -10.0}
    )
    half = rows(4).detach().half().requires_grad_()
    loss(half, [0, 0, 1, 1]).backward()
    for parameter in loss.parameters():
        assert parameter.grad is not None
        assert parameter.grad != 0


def test_logits_of_any_size_give_a_finite_loss() -> None:
    x = (rows(4, dtype=torch.float32).detach() * 1e4).requires_grad_()
    loss = SigLIPLoss(temperature=1e4, distance=DISTANCES["dot raw"][0]())
    for part in value_and_gradients(loss(x, [0, 0, 1, 1]), [x, *loss.parameters()]):
        assert part.isfinite().all()
