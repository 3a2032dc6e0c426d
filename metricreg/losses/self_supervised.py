"""Two views of each sample, without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar, Term
from metricreg.components import Loss
from metricreg.components.wrapper_loss import WrapperLoss
from metricreg.engine.execution import Execution
from metricreg.errors import InputError


class SelfSupervisedLoss(WrapperLoss):
    r"""Takes two views of each sample, whose rows correspond, where a loss wants labels.

    $$L\left(\begin{pmatrix} X \\ X' \end{pmatrix}\right) \text{ with labels } 1 \dots N, 1 \dots N
    \quad \text{or} \quad L(X; X') \text{ with labels } 1 \dots N \text{ in both}$$

    X are the embeddings `[N, D]`, X' the `ref_embeddings` `[N, D]`. No label is given twice in training mode, so that a
    `cross_batch_memory` inside tells samples of different batches apart; how many were given is part of the state.

    Args:
        loss: L, without class vectors. A miner goes into it, with `multiple`.
        symmetric: both views are anchors and references, in one batch of 2 N; otherwise X are the anchors and X' the
            references, and embeddings of the same view are not compared.
    """

    compared_with = "own labels"
    seen: Tensor

    def __init__(self, loss: Loss, symmetric: bool = True) -> None:
        super().__init__()
        for part in loss.modules():
            compared_with = part.compared_with if isinstance(part, Loss) else "references"
            if compared_with in ("own rows", "own labels"):
                own = "labels" if compared_with == "own labels" else "class vectors"
                raise ValueError(f"{type(part).__name__} has {own} of its own, and here each sample is its own class")
            if symmetric and compared_with == "paired references":
                raise ValueError(
                    f"{type(part).__name__} compares two views row by row, and not all rows of both; "
                    "give symmetric=False, or that loss alone"
                )
        self.loss = loss
        self.symmetric = symmetric
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """The loss of the two views."""
        value: Tensor = self.loss(self._views(batch), execution=execution)
        if self.training:
            self.seen += len(batch)
        return value

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """Every term of the loss of the two views."""
        return self.loss.all_terms(self._views(batch))

    def _views(self, batch: Batch) -> Batch:
        """Anchors and references with labels of their own."""
        x, y = batch.anchors, batch.references
        if batch.anchor_labels is not None or batch.selection is not None:
            raise InputError(
                "self_supervised makes its own labels: row i of the embeddings and row i of ref_embeddings belong "
                "together. Leave labels, tuples and the pipeline's miner out"
            )
        if x is y or len(x) != len(y):
            given = "none" if x is y else f"{len(y)} rows for {len(x)}"
            raise InputError(
                f"self_supervised needs ref_embeddings, another view of each row of the embeddings; got {given}"
            )
        labels = self.seen + torch.arange(len(x), device=x.device)
        if not self.symmetric:
            return batch.replace(anchor_labels=labels, reference_labels=labels)
        both, labels = torch.cat([x, y]), labels.repeat(2)
        return Batch.self_comparison(both, labels)
