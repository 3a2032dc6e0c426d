"""The last embeddings and labels that were put in, in a ring."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EmbeddingQueue(nn.Module):
    """A ring of embeddings `[m, D]` and their labels, which is part of the state.

    Args:
        size: m, how many rows it holds.
        embedding_size: D.
        label_size: L where a label is a set `[L]`; None for an integer.
    """

    embeddings: Tensor
    labels: Tensor
    enqueued: Tensor

    def __init__(self, size: int, embedding_size: int, label_size: int | None = None) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(size, embedding_size))
        self.register_buffer("labels", torch.zeros((size,) if label_size is None else (size, label_size)).long())
        self.register_buffer("enqueued", torch.zeros((), dtype=torch.long))  # ever: the next slot is this modulo m
        self._known: tuple[Tensor, int, int] | None = None

    @property
    def count(self) -> int:
        """How many rows were ever put in. The device is asked only where somebody else wrote it, as in loading."""
        tensor, known = self.enqueued, self._known
        if tensor.is_inference():  # which nobody counts the versions of
            return int(tensor)
        if known is None or known[0] is not tensor or known[1] != tensor._version:
            known = self._known = tensor, tensor._version, int(tensor)
        return known[2]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_known": None}

    def slots(self, rows: int) -> Tensor:
        """Where the next rows go, `[rows]`."""
        return torch.arange(self.count, self.count + rows, device=self.enqueued.device) % len(self.embeddings)

    @torch.no_grad()
    def after(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """What it would hold with more rows in it: embeddings and labels, in tensors of their own."""
        slots, filled = self.slots(len(embeddings)), min(self.count + len(embeddings), len(self.embeddings))
        rows, kept = self.embeddings[:filled].to(embeddings.dtype, copy=True), self.labels[:filled].clone()
        return rows.index_copy_(0, slots, embeddings), kept.index_copy_(0, slots, labels.long())

    @torch.no_grad()
    def enqueue(self, embeddings: Tensor, labels: Tensor) -> None:
        """Put rows in, in the places of the oldest."""
        slots, count = self.slots(len(embeddings)), self.count + len(embeddings)
        self.embeddings.index_copy_(0, slots, embeddings.to(self.embeddings.dtype))
        self.labels.index_copy_(0, slots, labels.long())
        self.enqueued.add_(len(embeddings))
        self._known = None if self.enqueued.is_inference() else (self.enqueued, self.enqueued._version, count)

    def reset(self) -> None:
        """Take all rows out."""
        for buffer in (self.embeddings, self.labels, self.enqueued):
            buffer.zero_()
