"""Intra-pair variance loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.distances import CosineSimilarity
from metricreg.kinds import Distance, Loss, LossSlots
from metricreg.kinds.loss import Terms
from metricreg.term import Term


class IntraPairVarianceLoss(Loss):
    r"""Brings pairs that are worse than the mean of their kind near to it; beside another loss.

    $$\ell^+ = \left[ (1 - \varepsilon^+) \mu^+ - s(a, p) \right]_+^2 \qquad
      \ell^- = \left[ s(a, n) - (1 + \varepsilon^-) \mu^- \right]_+^2$$

    The means mu are over all positive pairs and over all negative pairs of the batch. Of distances, those of positives
    are to stay under 1 + pos_eps times their mean, those of negatives over 1 - neg_eps times theirs. Yu and Tao 2019,
    "Deep Metric Learning with Tuplet Margin Loss".

    Args:
        pos_eps: how far from their mean, as a part of it, positives cost nothing; at least 0.
        neg_eps: the same for negatives.
    """

    is_symmetric: ClassVar[bool] = True

    def __init__(
        self,
        pos_eps: Annotated[float, Field(ge=0)] = 0.01,
        neg_eps: Annotated[float, Field(ge=0)] = 0.01,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.pos_eps = pos_eps
        self.neg_eps = neg_eps

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    def prepare(self, batch: Batch) -> Batch:
        """The means over all pairs of either kind."""
        found = batch.totals(self._distances, symmetric=True)
        return batch.replace(whole={kind: total / count.clamp(min=1) for kind, (total, count) in found.items()})

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`: a value a pair, `[A, K]` and `[A, M]`."""
        d = self.distance(batch.anchors, batch.references)
        sign = -1.0 if self.distance.is_inverted else 1.0
        farthest = (1.0 + sign * self.pos_eps) * batch.whole["positive"]
        far, among = self.distance.of_positives(batch, d)
        nearest = (1.0 - sign * self.neg_eps) * batch.whole["negative"]
        return {
            "pos_loss": Term(self.distance.margin(far, farthest).relu().square(), among, kind="pos_pair"),
            "neg_loss": Term(self.distance.margin(nearest, d).relu().square(), batch.negatives, kind="neg_pair"),
        }

    def _distances(self, part: Batch) -> dict[str, Term]:
        """Of positive and of negative pairs."""
        d = self.distance(part.anchors, part.references)
        near, among = self.distance.of_positives(part, d)
        return {"positive": Term(near, among), "negative": Term(d, part.negatives)}
