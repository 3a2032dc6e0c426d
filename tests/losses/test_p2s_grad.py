"""What is special about P2SGradLoss; its formula is in test_formulas."""

from __future__ import annotations

import torch

from tests.oracle import PROXY_LOSSES, batch


def test_proxies_start_at_unit_length_and_are_left_as_they_are() -> None:
    loss = PROXY_LOSSES["p2s_grad"]().double()
    torch.testing.assert_close(loss.proxies.norm(dim=1), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-6)
    with torch.no_grad():
        loss.proxies.mul_(3.0)
    before = loss.proxies.detach().clone()
    x = batch([0, 1, 2]).x
    loss(x, [0, 1, 2]).backward()
    assert torch.equal(loss.proxies.detach(), before)
    x.grad = None
    torch.testing.assert_close(
        loss(x, [0, 1, 2]), PROXY_LOSSES["p2s_grad"]().double()(x, [0, 1, 2])
    )  # only directions count
