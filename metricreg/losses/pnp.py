"""PNP loss."""

from __future__ import annotations

from typing import Annotated, Literal

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
from metricreg.losses.smooth_ap import positives_with_self


class PNPLoss(Loss):
    r"""Penalizes the negatives that are ranked before each positive, and leaves the order of positives alone.

    $$\ell_a = \frac{1}{|P_a|} \sum_{i \in P_a} f(R_i) \qquad
      R_i = \sum_{j \in N_a} \frac{1}{1 + e^{(s(a, i) - s(a, j)) / \tau}}$$

    $$f_O = R \qquad f_{Iu} = (1 + R) \log(1 + R) \qquad f_{Ib} = \frac{b R - \log(1 + b R)}{b^2} \qquad
      f_{Ds} = \log(1 + R) \qquad f_{Dq} = 1 - \frac{1}{(1 + R)^\alpha}$$

    P are the positives, the anchor itself among them if it is in the batch that is ranked; N are the negatives. Tuples
    or a miner weigh each anchor's loss by how often it occurs in them. An anchor without other positives has none. A
    distance enters with its sign turned. Costs a comparison for each of the up to K positives of an anchor with each of
    the M references. Li et al. 2022, "Rethinking the Optimization of Average Precision: Only Penalizing Negative
    Instances before Positive Ones is Enough".

    Args:
        b: how soon the slope of the variant Ib nears its bound, greater than 0.
        alpha: how fast the slope of the variant Dq falls, greater than 0.
        anneal: tau, in units of the similarity, greater than 0.
        variant: the slope in the number of negatives: constant (`O`), increasing without bound (`Iu`) or to a bound
            (`Ib`), decreasing slowly (`Ds`) or quickly (`Dq`).
    """

    default_distance = CosineSimilarity

    def __init__(
        self,
        b: Annotated[float, Field(gt=0)] = 2.0,
        alpha: Annotated[float, Field(gt=0)] = 1.0,
        anneal: Annotated[float, Field(gt=0)] = 0.01,
        variant: Literal["Ds", "Dq", "Iu", "Ib", "O"] = "O",
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.b = b
        self.alpha = alpha
        self.anneal = anneal
        self.variant = variant

    def prepare(self, batch: Batch) -> Batch:
        """Tuples become weights of the anchors."""
        return batch.replace(selection=None, weights=batch.row_weights())

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        s = self.distance.closeness(self.distance.between(batch))
        ranks = soft_ranks(s, *positives_with_self(batch), batch.negative_mask, self.anneal)
        losses = ranks.mean(self._penalty(ranks.negatives))
        has_positives = batch.positive_index[1].any(1)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights, has_positives)}

    def width(self, batch: Batch) -> int:
        """(K + 1) M values an anchor."""
        return len(batch.references) * (1 + batch.positive_index[0].shape[1])

    def _penalty(self, before: Tensor) -> Tensor:
        """Of so many negatives before a positive."""
        if self.variant == "Ds":
            return before.log1p()
        if self.variant == "Dq":
            return -torch.expm1(-self.alpha * before.log1p())
        if self.variant == "Iu":
            return (1.0 + before) * before.log1p()
        if self.variant == "Ib":
            return (self.b * before - (self.b * before).log1p()) / self.b**2
        return before
