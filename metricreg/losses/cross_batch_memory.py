"""A memory of earlier batches."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.components import Loss, Miner
from metricreg.components.wrapper_loss import WrapperLoss
from metricreg.engine.execution import Execution
from metricreg.errors import InputError
from metricreg.losses.embedding_queue import EmbeddingQueue

_OTHERWISE = {
    "own rows": "has rows of its own",
    "own labels": "makes its own labels",
    "paired references": "compares two views row by row",
}


class CrossBatchMemoryLoss(WrapperLoss):
    r"""Compares a batch with the embeddings of earlier batches too, by any loss that takes a reference set.

    $$M \leftarrow \text{the last } m \text{ rows of } (M, \operatorname{sg}(X)) \qquad \mathcal{L} = L(X; M)$$

    The batch X enters the memory M first. Then its rows are the anchors and the memory, as far as it is filled, the
    references; an anchor is not compared with its own copy. No gradient passes through the memory (sg). Where there
    are `ref_embeddings`, those enter the memory, and not the anchors: keys and queries, as in MoCo. `enqueue_mask`
    marks such rows in one batch. In evaluation mode the value is the same, and the memory stays as it was. It is part
    of the state, and `reset` empties it: a NaN, say, stays in it until other rows have taken its place. Wang et al.
    2020, "Cross-Batch Memory for Embedding Learning".

    Args:
        loss: L, without class vectors, and not of two views; `multiple` for several.
        embedding_size: the dimension of the embeddings, at least 1.
        memory_size: m, at least 1; a batch has to fit in.
        miner: what selects among anchors and memory, in the place of the pipeline's; everything counts if None.
        warm_up: rows that enter the memory before it is compared with, at least 0; until then batches are compared as
            they are. The paper waits for 1000 batches.
        label_size: how many labels a sample has where they are sets `[N, L]`; None for integers `[N]`.
    """

    def __init__(
        self,
        loss: Loss,
        embedding_size: Annotated[int, Field(gt=0)],
        memory_size: Annotated[int, Field(gt=0)] = 1024,
        miner: Miner | None = None,
        warm_up: Annotated[int, Field(ge=0)] = 0,
        label_size: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        super().__init__()
        for part in loss.modules():
            compared_with = part.compared_with if isinstance(part, Loss) else "references"
            if isinstance(part, CrossBatchMemoryLoss) or compared_with != "references":
                what = _OTHERWISE.get(compared_with, _OTHERWISE["own rows"])
                raise ValueError(f"{type(part).__name__} {what}, and cannot be compared with a memory")
        self.loss = loss
        self.embedding_size = embedding_size
        self.memory_size = memory_size
        self.miner = miner
        self.warm_up = warm_up
        self.memory = EmbeddingQueue(memory_size, embedding_size, label_size)

    def reset(self) -> None:
        """Empty the memory, and begin the warm-up again."""
        self.memory.reset()

    def forward(
        self,
        embeddings: Tensor | Batch,
        labels: Any = None,
        *,
        tuples: Any = None,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
        enqueue_mask: Any = None,
        execution: Execution | None = None,
    ) -> Tensor:
        """The loss of a batch.

        Args:
            embeddings: `[N, D]`; or a `Batch`.
            labels: `[N]` integers, or label sets `[N, L]`.
            tuples: None; the memory has a miner of its own.
            ref_embeddings: `[K, D]`, rows that enter the memory in the place of the batch.
            ref_labels: `[K]` like `labels`.
            enqueue_mask: bool `[N]`, which rows of the batch are meant as `ref_embeddings`; all others are anchors.
            execution: dense or tiled; by size if None.

        Raises:
            InputError: arguments that do not fit together, or not the memory.
        """
        batch = embeddings
        if not isinstance(batch, Batch):
            batch = Batch.of(batch, labels, tuples=tuples, ref_embeddings=ref_embeddings, ref_labels=ref_labels)
        batch = batch if enqueue_mask is None else _split(batch, enqueue_mask)
        return super().forward(batch, execution=execution)

    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """The loss against the memory, which the batch enters in training mode."""
        value: Tensor = self.loss(self._against_memory(batch), execution=execution)
        if self.training:
            self._enqueue(batch)
        return value

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """Every term of the loss against the memory, which stays as it is."""
        return self.loss.all_terms(self._against_memory(batch))

    @torch.compiler.disable  # type: ignore[untyped-decorator] # how many rows are filled is another number each time
    def _against_memory(self, batch: Batch) -> Batch:
        """The anchors against the memory as it is with the batch in it, in tensors that nobody changes any more."""
        labels = self._labels(batch)
        if self.memory.count < self.warm_up:
            alone = batch.references is batch.anchors
            found = batch if alone else batch.replace(references=batch.references.detach())
        else:
            dtype = torch.promote_types(self.memory.embeddings.dtype, batch.references.dtype)
            slots, index = self.memory.slots(len(labels)), batch.self_index
            references, reference_labels = self.memory.after(batch.references.detach().to(dtype), labels)
            found = batch.replace(
                anchors=batch.anchors.to(dtype),
                references=references,
                reference_labels=reference_labels,
                self_index=None if index is None else slots[index.clamp(min=0)].where(index >= 0, -1),
            )
        if self.miner is None:
            return found
        return found.replace(selection=self.miner.selection(self.loss.with_match(found)))

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _enqueue(self, batch: Batch) -> None:
        self.memory.enqueue(batch.references.detach(), self._labels(batch))

    def _labels(self, batch: Batch) -> Tensor:
        """The labels of the rows that enter the memory, after checking the batch against it."""
        memory, labels = self.memory.embeddings, batch.reference_labels
        size, given = memory.shape[1], batch.anchors.shape[1]
        if given != size:
            raise InputError(f"cross_batch_memory has embedding_size {size}; the embeddings have {given}")
        if batch.selection is not None:
            raise InputError(
                "cross_batch_memory takes no tuples: those of a batch say nothing about its memory. "
                "Give the miner to it, as its 'miner'"
            )
        if labels is None or batch.anchor_labels is None:
            raise InputError("cross_batch_memory needs labels, which it keeps along with the embeddings")
        if labels.shape[1:] != self.memory.labels.shape[1:]:
            kept = [len(labels), *self.memory.labels.shape[1:]]
            raise InputError(
                f"labels must be {kept}; got {list(labels.shape)}. label_size says how many a sample has, if not one"
            )
        if len(labels) > len(memory):
            raise InputError(f"{len(labels)} rows do not fit in a memory_size of {len(memory)}; give a larger one")
        if labels.device != memory.device:
            raise InputError(f"the memory is on {memory.device}, and the batch on {labels.device}; move the loss there")
        return labels


def _split(batch: Batch, enqueue_mask: Any) -> Batch:
    """The rows that are not marked against those that are."""
    if batch.selection is not None or batch.references is not batch.anchors:
        raise InputError("enqueue_mask marks rows of a batch, to which tuples and ref_embeddings do not belong")
    try:
        mask = torch.as_tensor(enqueue_mask, device=batch.anchors.device)
    except (TypeError, ValueError, RuntimeError) as error:
        given = f"{type(enqueue_mask).__name__}: {error}"
        raise InputError(f"enqueue_mask must be [{len(batch)}] of torch.bool; got {given}") from error
    if mask.dtype is not torch.bool or mask.shape != (len(batch),):
        raise InputError(f"enqueue_mask must be [{len(batch)}] of torch.bool; got {list(mask.shape)} of {mask.dtype}")
    labels = batch.anchor_labels
    own, entering = (None, None) if labels is None else (labels[~mask], labels[mask])
    return batch.replace(
        anchors=batch.anchors[~mask],
        references=batch.anchors[mask],
        anchor_labels=own,
        reference_labels=entering,
        self_index=None,
    )
