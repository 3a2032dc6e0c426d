"""Supervised contrastive loss of label sets."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, UnmatchedLossSlots
from metricreg.components.learned import LearnedNumber, PositiveNumber
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.errors import InputError
from metricreg.functional.logsumexp import logsumexp
from metricreg.losses.supcon import number_of_positives, positive_cross_entropy
from metricreg.matches import JaccardMatch
from metricreg.matches.label_sets import jaccard_similarity
from metricreg.reducers import AvgNonZeroReducer


class MultiSupConLoss(Loss):
    r"""Mean cross entropy of an anchor's positives against all others, each weighted by how alike the label sets are.

    $$\ell_a = -\frac{1}{|P_a|} \sum_{p \in P_a} J(a, p) \log
        \frac{e^{s(a, p) / \tau}}{\sum_{j \ne a} e^{s(a, j) / \tau}} \qquad
        J(a, p) = \frac{|Y_a \cap Y_p|}{|Y_a \cup Y_p|} \qquad P_a = \{p \ne a : J(a, p) \ge c\}$$

    Labels are `[N, L]`, bool or integers 0 and 1: whether sample n has label l; or `[N]`, sets of one, with which this
    is `supcon`. They are needed with tuples too. Two samples without labels are as alike as can be. An anchor without
    positives has 0, which the default reducer leaves out. A distance enters with its sign turned. A pair that tuples
    repeat counts once. Zhang and Wu 2022, "An Effective Approach for Multi-label Classification with Missing Labels";
    Khosla et al. 2020, "Supervised Contrastive Learning".

    Args:
        temperature: tau, greater than 0; `{"learned": 0.1}` to learn it.
        threshold: c, from which Jaccard similarity on samples are positives, 0 to 1.
    """

    default_distance = CosineSimilarity
    default_reducer = AvgNonZeroReducer

    def __init__(
        self,
        temperature: PositiveNumber = 0.1,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.5,
        **slots: Unpack[UnmatchedLossSlots],
    ) -> None:
        super().__init__(**slots)
        self.temperature = LearnedNumber.of(temperature)
        self.threshold = threshold
        self.match = JaccardMatch(threshold)

    def prepare(self, batch: Batch) -> Batch:
        """Check that there are labels, which are the weights."""
        if batch.anchor_labels is None or batch.reference_labels is None:
            raise InputError(
                "MultiSupConLoss needs labels, with tuples too: sets [N, L], whether sample n has label l, or [N]"
            )
        return batch

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        assert batch.anchor_labels is not None  # checked in prepare
        assert batch.reference_labels is not None
        d, scale = self.distance.between(batch), self.distance.sign / LearnedNumber.value(self.temperature)
        near, among = batch.at_positives(d)
        alike = jaccard_similarity(batch.anchor_labels, batch.reference_labels, d.dtype)
        factor, _ = batch.at_positives(alike)
        negatives = logsumexp(d, batch.negative_mask, scale)
        total = positive_cross_entropy(scale * near, among != 0, negatives, factor)
        return {"loss": Term(total / number_of_positives(batch))}
