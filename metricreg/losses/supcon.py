"""Supervised contrastive loss."""

from __future__ import annotations

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import LossSlots
from metricreg.components.learned import LearnedNumber, PositiveNumber
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import softplus, weighted_logsumexp
from metricreg.functional.masked import masked_argmax
from metricreg.reducers import AvgNonZeroReducer


class SupConLoss(LogSumExpLoss):
    r"""Mean cross entropy of an anchor's positives against everything else in the batch.

    $$\ell_a = -\frac{1}{|P_a|} \sum_{p \in P_a} \log
        \frac{e^{s(a, p) / \tau}}{\sum_{j \in P_a \cup N_a} e^{s(a, j) / \tau}}$$

    An anchor without positives has 0, which the default reducer leaves out. A distance enters with its sign turned.
    A pair that tuples repeat counts once. Khosla et al. 2020, "Supervised Contrastive Learning".

    Args:
        temperature: tau, greater than 0; `{"learned": 0.1}` to learn it.
    """

    default_distance = CosineSimilarity
    default_reducer = AvgNonZeroReducer

    def __init__(self, temperature: PositiveNumber = 0.1, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.temperature = LearnedNumber.of(temperature)

    def exponents(self, distances: Tensor) -> Exponents:
        """Similarities over the temperature."""
        return distances, self.distance.sign / LearnedNumber.value(self.temperature), 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        negatives, near, among = self.logsumexp_and_positives(batch)
        closeness = self.distance.sign / LearnedNumber.value(self.temperature) * near
        total = positive_cross_entropy(closeness, among != 0, negatives)
        return {"loss": Term(total / number_of_positives(batch))}


def number_of_positives(batch: Batch) -> Tensor:
    """How many references are positives of each anchor, but 1 where none is: `[A]`. One that tuples repeat is one."""
    positives = batch.positive_index[1] if batch.lists_positives else batch.positives != 0
    return positives.sum(1).clamp(min=1)


def positive_cross_entropy(near: Tensor, among: Tensor, negatives: Tensor, factor: Tensor | None = None) -> Tensor:
    """The cross entropies of each anchor's positives against its positives and negatives, summed: `[A]`.

    Args:
        near: `[A, K]`, similarities over the temperature; of positives, and perhaps of others.
        among: bool `[A, K]`, which of those are of positives.
        negatives: `[A]`, the log-sum-exp of the similarities of negatives.
        factor: `[A, K]`, by which each cross entropy is multiplied; 1 if None.
    """
    if not near.shape[1]:
        return near.sum(1)
    # The nearest of all, if it is a positive, may have nearly the whole sum to itself: log(1 + rest/it) is exact
    # where the difference of two nearly equal logarithms is not.
    first = masked_argmax(near.detach(), among)[:, None]
    top = near.gather(1, first)
    others = among.scatter(1, first, False)
    rest = torch.stack([weighted_logsumexp(near, others), negatives], 1)
    rest = rest.clamp(min=torch.finfo(rest.dtype).min)  # for -inf, of which a difference is NaN
    excess = softplus(rest.logsumexp(1, keepdim=True) - top)
    losses, nearest = excess + (top - near), excess
    if factor is not None:
        losses, nearest = losses * factor, nearest * factor.gather(1, first)
    return losses.masked_fill(~others, 0.0).sum(1) + nearest.masked_fill(~among.gather(1, first), 0.0)[:, 0]
