"""Embeddings of a large batch, in the memory of a small one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from metricreg import InputError, MetricregError


def embed(model: nn.Module, features: Mapping[str, Any], size: int | None) -> Tensor:
    """The embeddings of texts, `[B, D]`.

    Args:
        model: a SentenceTransformer, or what wraps it.
        features: of B texts, as the model's tokenizer gives them.
        size: how many texts the model sees at a time. What it keeps for the backward pass is made again there, so
            that it is never kept of more; None is all at once.

    Raises:
        InputError: a model whose features are not a row a text, or that is wrapped for several processes.
    """
    if size is None:
        return _embedded(model, features)
    if isinstance(model, DistributedDataParallel):
        raise InputError("mini_batch_size is for one process; leave it out where the trainer has several")
    parts = list(_parts(features, size))
    if not torch.is_grad_enabled():
        return torch.cat([_embedded(model, part) for part in parts])
    forward = model.forward
    return torch.cat([checkpoint(_embedded_by, model, forward, part, use_reentrant=False) for part in parts])


def _embedded_by(model: nn.Module, forward: Any, features: Mapping[str, Any]) -> Tensor:
    if model.forward != forward:
        raise MetricregError(
            "the model's forward was another in the forward pass: losses around this one, such as MatryoshkaLoss and "
            "AdaptiveLayerLoss, exchange it. Leave mini_batch_size out there"
        )
    copied = {key: value.clone() if isinstance(value, Tensor) else value for key, value in features.items()}
    return _embedded(model, copied)  # a copy, as pooling may write to the attention mask


def _embedded(model: nn.Module, features: Mapping[str, Any]) -> Tensor:
    embeddings: Tensor = model(dict(features))["sentence_embedding"]
    return embeddings


def _parts(features: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """The features of at most `size` texts at a time."""
    mask = features.get("attention_mask")
    count = len(mask) if isinstance(mask, Tensor) and mask.ndim > 1 else None
    rows = {key for key, value in features.items() if isinstance(value, Tensor) and key != "prompt_length"}
    if count is None or any(features[key].shape[:1] != (count,) for key in rows):
        given = ", ".join(f"{key} {list(features[key].shape)}" for key in sorted(rows))
        raise InputError(f"mini_batch_size needs features with a row a text; this model has {given}. Leave it out")
    for start in range(0, count, size):
        yield {key: value[start : start + size] if key in rows else value for key, value in features.items()}
