"""Margin loss."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.labels import check_classes
from metricreg.batch.terms import HingeTriplets, Scalar, Term
from metricreg.batch.tuples import Triplets
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.errors import InputError
from metricreg.losses.triplet_margin import random_triplets
from metricreg.reducers import DivisorReducer


class MarginLoss(Loss):
    r"""Pulls positives within a boundary and pushes negatives beyond it, both by a margin.

    $$\ell = \left[ d(a, p) - \beta + m \right]_+ + \left[ \beta - d(a, n) + m \right]_+$$

    The sum over all triplets is divided by the number of brackets that are not zero. A boundary that is learned has the
    penalty $\nu \beta$: once, or for each triplet where there is one a class. All triplets are summed without listing
    them. Wu et al. 2017, "Sampling Matters in Deep Embedding Learning".

    Args:
        margin: m, in units of the distance.
        nu: weight of the penalty on a learned beta, at least 0.
        beta: the boundary, or where it begins; in units of the distance.
        triplets_per_anchor: how many random triplets to draw for each anchor, or `"all"`.
        learn_beta: make the boundary a parameter.
        num_classes: how many boundaries, one for each class of the anchor, labels from 0 on; one for all if None.
    """

    beta: Tensor

    default_reducer = DivisorReducer

    def __init__(
        self,
        margin: float = 0.2,
        nu: Annotated[float, Field(ge=0)] = 0.0,
        beta: float = 1.2,
        triplets_per_anchor: Annotated[int, Field(gt=0)] | Literal["all"] = "all",
        learn_beta: bool = False,
        num_classes: Annotated[int, Field(gt=0)] | None = None,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.margin = margin
        self.nu = nu
        self.triplets_per_anchor = triplets_per_anchor
        self.learn_beta = learn_beta
        self.num_classes = num_classes
        boundaries = torch.full((num_classes or 1,), beta)
        if learn_beta:
            self.beta = nn.Parameter(boundaries)
        else:
            self.register_buffer("beta", boundaries)

    def prepare(self, batch: Batch) -> Batch:
        """Check the labels, hand beta over, and draw random triplets if only some are wanted and none are given."""
        if self.num_classes is not None:
            if batch.anchor_labels is None:
                raise InputError("MarginLoss has a boundary a class, and needs labels")
            check_classes(batch.anchor_labels, self.num_classes, "MarginLoss")
        batch = batch.replace(shared={"beta": self.beta.to(batch.anchors.dtype)})
        if batch.selection is not None or self.triplets_per_anchor == "all":
            return batch
        return batch.replace(selection=random_triplets(batch, int(self.triplets_per_anchor)))

    def terms(self, batch: Batch) -> Terms:
        """`margin_loss`: `[A, K, M]`, or a list `[T]` where triplets are listed; `beta_reg_loss` of a beta a class."""
        d = self.distance.between(batch)
        beta = self._boundaries(batch)
        term: Term
        if isinstance(batch.selection, Triplets):
            rows, positive, negative = batch.selection.columns()
            pull = self._excess(d[rows, positive], beta[rows]).relu()
            push = self._excess(beta[rows], d[rows, negative]).relu()
            each = torch.stack([(pull > 0).long() + (push > 0).long(), torch.ones_like(rows)])
            divisor, count = torch.zeros(2, len(batch), dtype=torch.long, device=d.device).index_add(1, rows, each)
            term = Term(pull + push, kind="triplet", rows=rows, divisor=divisor)
        else:
            index, positives = batch.positive_index
            term, count = self._triplets(d.gather(1, index), positives, d, batch.negatives, beta[:, None])
            divisor = term.divisor
        if not self.learn_beta or self.num_classes is None:
            return {"margin_loss": term}
        return {"margin_loss": term, "beta_reg_loss": Term(self.nu * beta, count, divisor=divisor)}

    def batch_terms(self, batch: Batch) -> Terms:
        """`beta_reg_loss`: the penalty on a beta for all classes."""
        if not self.learn_beta or self.num_classes is not None:
            return {}
        return {"beta_reg_loss": Scalar((self.nu * self.beta.sum(),), lambda penalty: penalty)}

    def width(self, batch: Batch) -> int:
        """M values an anchor where triplets are listed or summed unlisted, K · M where each is made."""
        references = len(batch.references)
        if isinstance(batch.selection, Triplets) or not self.reducer.reads_values:
            return references
        return references * max(1, batch.positive_index[0].shape[1])

    def _boundaries(self, batch: Batch) -> Tensor:
        """Each anchor's beta, `[A]`."""
        beta = batch.shared["beta"]
        if self.num_classes is None:
            return beta.expand(len(batch))
        assert batch.anchor_labels is not None  # checked in prepare
        return beta[batch.anchor_labels.long()]

    def _excess(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distance.margin(x, y) + self.margin

    def _triplets(
        self, near: Tensor, positives: Tensor, far: Tensor, negatives: Tensor, beta: Tensor
    ) -> tuple[Term, Tensor]:
        """What triplets cost, all of a positive `[A, K]` and a negative `[A, M]`, and how many each anchor has."""
        pull, push = self._excess(near, beta).relu(), self._excess(beta, far).relu()
        of, against = positives.sum(1), negatives.sum(1)
        divisor = (pull > 0).mul(positives).sum(1) * against + (push > 0).mul(negatives).sum(1) * of
        return HingeTriplets(pull, positives, push, negatives, divisor), of * against
