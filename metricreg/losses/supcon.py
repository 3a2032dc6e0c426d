"""Supervised contrastive loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.distances import CosineSimilarity
from metricreg.kinds import Distance, Loss, LossSlots, Reducer
from metricreg.kinds.loss import Terms
from metricreg.losses.logsumexp import masked_logsumexp
from metricreg.reducers import AvgNonZeroReducer
from metricreg.term import Term


class SupConLoss(Loss):
    r"""Mean cross entropy of an anchor's positives against everything else in the batch.

    $$\ell_a = -\frac{1}{|P_a|} \sum_{p \in P_a} \log
        \frac{e^{s(a, p) / \tau}}{\sum_{j \in P_a \cup N_a} e^{s(a, j) / \tau}}$$

    An anchor without positives has 0, which the default reducer leaves out. A distance enters with its sign turned.
    Khosla et al. 2020, "Supervised Contrastive Learning".

    Args:
        temperature: tau, greater than 0.
    """

    def __init__(self, temperature: Annotated[float, Field(gt=0)] = 0.1, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.temperature = temperature

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    @classmethod
    def default_reducer(cls) -> Reducer:
        """The mean over the anchors that cost something."""
        return AvgNonZeroReducer()

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        s = self.distance.closeness(self.distance(batch.anchors, batch.references)) / self.temperature
        positives = batch.positives != 0
        count = positives.sum(1)
        total = masked_logsumexp(s, positives | (batch.negatives != 0))
        mean = s.masked_fill(~positives, 0.0).sum(1) / count.clamp(min=1)
        return {"loss": Term((total - mean).masked_fill(count == 0, 0.0))}
