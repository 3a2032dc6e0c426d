"""Smooth-AP."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.functional.soft_ranks import soft_ranks


class SmoothAPLoss(Loss):
    r"""One less the average precision of each anchor's ranking, with sigmoids in place of comparisons.

    $$\ell_a = 1 - \frac{1}{|P_a|} \sum_{i \in P_a} \frac{1 + \sum_{j \in P_a, j \ne i} \sigma_{ij}}
      {1 + \sum_{j \in P_a, j \ne i} \sigma_{ij} + \sum_{j \in N_a} \sigma_{ij}} \qquad
      \sigma_{ij} = \frac{1}{1 + e^{(s(a, i) - s(a, j)) / \tau}}$$

    P are the positives, the anchor itself among them if it is in the batch that is ranked; N are the negatives. Tuples
    or a miner weigh each anchor's loss by how often it occurs in them. An anchor without other positives has none. A
    distance enters with its sign turned. Costs a comparison for each of the up to K positives of an anchor with each of
    the M references. Brown et al. 2020, "Smooth-AP: Smoothing the Path Towards Large-Scale Image Retrieval".

    Args:
        temperature: tau, in units of the similarity, greater than 0.
    """

    default_distance = CosineSimilarity

    def __init__(self, temperature: Annotated[float, Field(gt=0)] = 0.01, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.temperature = temperature

    def prepare(self, batch: Batch) -> Batch:
        """Tuples become weights of the anchors."""
        return batch.replace(selection=None, weights=batch.row_weights())

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        s = self.distance.closeness(self.distance.between(batch))
        ranks = soft_ranks(s, *positives_with_self(batch), batch.negative_mask, self.temperature)
        # the part of negatives, not one less the part of positives: a small loss is no difference of large numbers
        losses = ranks.mean(ranks.negatives / (1.0 + ranks.positives + ranks.negatives))
        has_positives = batch.positive_index[1].any(1)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights, has_positives)}

    def width(self, batch: Batch) -> int:
        """(K + 1) M values an anchor."""
        return len(batch.references) * (1 + batch.positive_index[0].shape[1])


def positives_with_self(batch: Batch) -> tuple[Tensor, Tensor]:
    """`positive_index` with the anchor itself, where it is among the references, and with the same label."""
    index, valid = batch.positive_index
    if batch.self_index is None or not len(batch.references):
        return index, valid
    labels, ref_labels = batch.anchor_labels, batch.reference_labels
    assert labels is not None  # as of positives without a selection
    assert ref_labels is not None
    itself = batch.self_index.clamp(min=0)
    alike = (ref_labels[itself] == labels).view(len(batch), labels.shape[1:].numel()).all(1) & (batch.self_index >= 0)
    return torch.cat([index, itself[:, None]], 1), torch.cat([valid, alike[:, None]], 1)
