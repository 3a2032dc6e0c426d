"""Normalised temperature-scaled cross entropy."""

from __future__ import annotations

from typing import ClassVar

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
from metricreg.functional.logsumexp import softplus


class NTXentLoss(LogSumExpLoss):
    r"""Cross entropy of each positive pair against all negatives of its anchor; InfoNCE.

    $$\ell = -\log \frac{e^{s(a, p) / \tau}}{e^{s(a, p) / \tau} + \sum_n e^{s(a, n) / \tau}}
           = \operatorname{softplus}\left( \log \sum_n e^{s(a, n) / \tau} - \frac{s(a, p)}{\tau} \right)$$

    One log-sum-exp of the negatives serves all positives of an anchor. A distance enters with its sign turned. Chen et
    al. 2020, "A Simple Framework for Contrastive Learning of Visual Representations".

    Args:
        temperature: tau, greater than 0; `{"learned": 0.07}` to learn it.
    """

    counts_repeated: ClassVar[bool] = True
    default_distance = CosineSimilarity

    def __init__(self, temperature: PositiveNumber = 0.07, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.temperature = LearnedNumber.of(temperature)

    def exponents(self, distances: Tensor) -> Exponents:
        """Similarities over the temperature."""
        return distances, self.distance.sign / LearnedNumber.value(self.temperature), 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a positive pair, `[A, K]`."""
        negatives, near, among = self.logsumexp_and_positives(batch)
        closeness = self.distance.sign / LearnedNumber.value(self.temperature) * near
        return {"loss": Term(softplus(negatives[:, None] - closeness), among, kind="pos_pair")}
