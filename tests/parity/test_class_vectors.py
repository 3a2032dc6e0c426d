"""The state of PML's losses with class vectors, loaded as the documentation says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses as pml

import metricreg

CLASSES, SIZE = 4, 6
PEERS: dict[str, tuple[Any, str]] = {
    "arcface": (pml.ArcFaceLoss, "W"),
    "cosface": (pml.CosFaceLoss, "W"),
    "sphereface": (pml.SphereFaceLoss, "W"),
    "large_margin_softmax": (pml.LargeMarginSoftmaxLoss, "W"),
    "normalized_softmax": (pml.NormalizedSoftmaxLoss, "W"),
    "subcenter_arcface": (pml.SubCenterArcFaceLoss, "W"),
    "p2s_grad": (pml.P2SGradLoss, "weight"),
    "soft_triple": (pml.SoftTripleLoss, "fc"),
    "proxy_nca": (pml.ProxyNCALoss, "proxies"),
    "proxy_anchor": (pml.ProxyAnchorLoss, "proxies"),
}

OTHERWISE = {"soft_triple": 1.0 / 20.0, "proxy_nca": -1.0}
"""By what those of PML differ from what is in its softmax: not scaled; distances, larger for farther."""


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # scipy, of PML's large margins
@pytest.mark.parametrize("name", PEERS)
def test_two_lines_load_the_state_of_a_loss(name: str) -> None:
    torch.manual_seed(0)
    make, key = PEERS[name]
    size = {"descriptors_dim": SIZE} if name == "p2s_grad" else {"embedding_size": SIZE}
    peer = make(num_classes=CLASSES, **size)
    objective = metricreg.build({"loss": {"name": name, "num_classes": CLASSES, "embedding_size": SIZE}})
    state = peer.state_dict()
    objective.loss.load_state_dict({"proxies": state[key] if key == "proxies" else state[key].T})
    x, labels = torch.randn(9, SIZE), torch.arange(9) % CLASSES
    torch.testing.assert_close(objective(x, labels), peer(x, labels), rtol=1e-4, atol=1e-5)
    if hasattr(peer, "get_logits"):
        found = objective.logits(x) * OTHERWISE.get(name, 1.0)
        torch.testing.assert_close(found, peer.get_logits(x), rtol=1e-4, atol=1e-5)
