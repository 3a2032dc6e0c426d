"""Instance loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import LossSlots
from metricreg.components.logsumexp_loss import NEGATIVES, Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import softplus, weighted_logsumexp


class InstanceLoss(LogSumExpLoss):
    r"""Cross entropy of classifying each embedding by the embeddings of the batch, which stand for their classes.

    $$\ell_a = -\log \frac{\sum_{p \in P_a \cup \{a\}} e^{\gamma \cos(a, p)}}
    {\sum_{x \in P_a \cup N_a \cup \{a\}} e^{\gamma \cos(a, x)}}$$

    P are the positives, N the negatives of an anchor; an embedding is of its own class. Where all labels differ, each
    embedding is a class. Against a separate reference set, an anchor without positives has no class and does not count.
    Of distances other than the cosine, similarities stand in as they are, and others with their sign turned.
    Zheng et al. 2017, "Dual-Path Convolutional Image-Text Embeddings with Instance Loss".

    Args:
        gamma: the scale of the similarities, greater than 0.
    """

    counts_repeated: ClassVar[bool] = True
    needs_positives: ClassVar[bool] = False
    default_distance = CosineSimilarity

    def __init__(self, gamma: Annotated[float, Field(gt=0)] = 64.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.gamma = gamma

    def exponents(self, distances: Tensor) -> Exponents:
        """Scaled similarities."""
        return distances, self._scale, 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        negatives, near, own = self.logsumexp_and_positives(batch)
        if NEGATIVES in batch.per_anchor or batch.lists_positives:
            near, own = self._and_itself(near, own, batch)
        else:
            own = _with_self(own, batch)
        has_class = (own != 0).any(1)
        together = weighted_logsumexp(near, own, self._scale).masked_fill(~has_class, 0.0)
        return {"loss": Term(softplus(negatives - together), self._compared(batch) & has_class)}

    def _compared(self, batch: Batch) -> Tensor:
        """Which anchors are compared with anything but themselves."""
        return batch.negative_mask.count() + batch.positive_index[1].sum(1) > 0

    @property
    def _scale(self) -> float:
        return self.distance.sign * self.gamma

    def _and_itself(self, near: Tensor, own: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Distances to positives `[A, K]`, and which of them count; each anchor's to itself besides."""
        if batch.self_index is None:  # and so each is one of its positives
            return near, own
        itself = self.distance.pairwise(batch.anchors, batch.references[batch.self_index])[:, None]
        return torch.cat([near, itself], 1), torch.cat([own, own.new_ones(len(own), 1)], 1)


def _with_self(positives: Tensor, batch: Batch) -> Tensor:
    """The positives `[A, M]`, and each anchor itself where it is among the references."""
    if batch.self_index is None:
        return positives
    column = batch.self_index.clamp(min=0)[:, None]
    there = (batch.self_index >= 0)[:, None].to(positives.dtype)
    return positives.scatter(1, column, torch.maximum(positives.gather(1, column), there))
