"""N-pairs loss."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.labels import check_single
from metricreg.batch.terms import Term
from metricreg.components import Loss, UnmatchedLossSlots
from metricreg.components.loss import Terms
from metricreg.distances import DotProductSimilarity
from metricreg.engine.execution import MIN_LISTED_REFERENCES
from metricreg.errors import InputError
from metricreg.functional.logsumexp import logsumexp, softplus
from metricreg.functional.masked import Mask


class NPairsLoss(Loss):
    r"""Cross entropy of one positive pair of each class against the positives of the other classes.

    $$\ell_i = \log \left( 1 + \sum_{j \ne i} e^{s(a_i, p_j) - s(a_i, p_i)} \right)$$

    The pair of a class is its first anchor that has a positive, with the first of those; of tuples or a miner's, if
    there are any. A distance enters with its sign turned. Sohn 2016, "Improved Deep Metric Learning with Multi-class
    N-pair Loss Objective".
    """

    default_distance = DotProductSimilarity

    def __init__(self, **slots: Unpack[UnmatchedLossSlots]) -> None:
        super().__init__(**slots)

    def prepare(self, batch: Batch) -> Batch:
        """The anchors and the positives of the pairs, one row a class."""
        if batch.anchor_labels is None:
            raise InputError("NPairsLoss needs labels: it takes one pair of each class")
        check_single(batch.anchor_labels, "NPairsLoss")
        if batch.is_symmetric_comparison and batch.self_index is not None:
            anchor, positive = _first_two(batch.anchor_labels)
        else:
            anchor, positive = _first_positives(batch)
            labels, order = batch.anchor_labels[anchor].sort(stable=True)
            first = order[torch.nn.functional.pad(labels.diff() != 0, (1, 0), value=True)[: len(order)]]
            anchor, positive = anchor[first], positive[first]
        return Batch(
            batch.anchors[anchor],
            batch.references[positive],
            anchor_labels=batch.anchor_labels[anchor],
            per_anchor={"own": torch.arange(len(anchor), device=anchor.device)},
        )

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a class, `[C]`."""
        s, own = self.distance.between(batch), batch.per_anchor["own"][:, None]
        others = logsumexp(s, Mask.all_but(own, s.shape[1]), self.distance.sign)
        return {"loss": Term(softplus(others - self.distance.closeness(s.gather(1, own)[:, 0])))}


def _first_two(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second of each class that has two."""
    keys, order = labels.sort(stable=True)
    alike = torch.nn.functional.pad(keys.diff() == 0, (1, 0))  # with the one before
    first = (alike[1:] > alike[:-1]).nonzero()[:, 0]
    return order[first], order[first + 1]


def _first_positives(batch: Batch) -> tuple[Tensor, Tensor]:
    """Each anchor that has a positive, and the first of its positives."""
    if batch.selection is None and 0 < len(batch) * len(batch.references) <= MIN_LISTED_REFERENCES**2:
        positives = batch.positives
        anchor = positives.any(1).nonzero()[:, 0]
        return anchor, positives.int().argmax(1)[anchor]
    index, counts = batch.positive_index
    if not index.shape[1]:
        return index.flatten(), index.flatten()
    anchor = counts.any(1).nonzero()[:, 0]
    first = counts[anchor].int().argmax(1, keepdim=True)
    return anchor, index[anchor].gather(1, first)[:, 0]
