"""Lifted structure loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.batch.tuples import Pairs
from metricreg.components import LossSlots
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp


class LiftedStructureLoss(LogSumExpLoss):
    r"""Wants a positive pair nearer than all negatives of either of the two.

    $$\ell_{ij} = \frac12 \left[ \log \left(
        \sum_{k \in N_i} e^{m^- - d(i, k)} + \sum_{k \in N_j} e^{m^- - d(j, k)}
        \right) + d(i, j) - m^+ \right]_+^2$$

    The pairs (i, j) and (j, i) count, by half each. In a separate reference set, the negatives of a positive are the
    anchors whose negative it is. A pair without any negative has 0. Song et al. 2016, "Deep Metric Learning via Lifted
    Structured Feature Embedding".

    Args:
        neg_margin: distance from which on negatives count for little.
        pos_margin: subtracted from the distance of the positives; 0 in the paper.
    """

    counts_repeated: ClassVar[bool] = True

    def __init__(self, neg_margin: float = 1.0, pos_margin: float = 0.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.neg_margin = neg_margin
        self.pos_margin = pos_margin

    def prepare(self, batch: Batch) -> Batch:
        """The log-sum-exp of the negatives of each anchor `[A]`, and of each reference `[M]`, which any may need."""
        own = self.logsumexp_by_halves(batch)
        own = batch.map(self._of_anchors) if own is None else own
        alone = batch.references is batch.anchors
        partner = own if alone else _turned(batch).map(self._of_references)
        return batch.replace(per_anchor={"own": own}, shared={"partner": partner})

    def exponents(self, distances: Tensor) -> Exponents:
        """How much closer they are than the margin."""
        return distances, self.distance.sign, -self.distance.sign * self.neg_margin

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a positive pair, `[A, K]`."""
        own, (partner, _) = batch.per_anchor["own"][:, None], batch.at_positives(batch.shared["partner"][None, :])
        nothing = own.isneginf() & partner.isneginf()  # which logaddexp differentiates to NaN
        negatives = torch.logaddexp(own.masked_fill(nothing, 0.0), partner).masked_fill(nothing, -torch.inf)
        near, among = self.distance.to_positives(batch)
        violation = (negatives + self.distance.margin(near, self.pos_margin)).relu()
        return {"loss": Term(violation.square() / 2.0, among, kind="pos_pair")}

    def _of_anchors(self, part: Batch) -> Tensor:
        return self.logsumexp(self.distance.between(part), part)

    def _of_references(self, part: Batch) -> Tensor:
        return self.logsumexp(self.distance(part.references, part.anchors).mT, part)


def _turned(batch: Batch) -> Batch:
    """References and anchors in each other's places, for their negatives."""
    selection = None
    if batch.selection is not None:
        columns = batch.selection.columns()
        anchor, negative = columns[-2] if isinstance(batch.selection, Pairs) else columns[0], columns[-1]
        selection = Pairs.of(negative[:0], anchor[:0], negative, anchor)
    labels, ref_labels = batch.reference_labels, batch.anchor_labels
    return Batch(batch.references, batch.anchors, labels, ref_labels, selection=selection, match=batch.match)
