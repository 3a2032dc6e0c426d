"""SigLIP."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.summed_term import SummedTerm
from metricreg.batch.terms import Term
from metricreg.components import Distance, Loss, LossSlots, Reducer
from metricreg.components.loss import Terms
from metricreg.distances import DotProductSimilarity
from metricreg.functional.logsumexp import PER_E, log_one_plus_exp, log_one_plus_exp_sums_
from metricreg.functional.row_sums import number
from metricreg.functional.strips import Rowwise, Which
from metricreg.reducers import DivisorReducer


class SigLIPLoss(Loss):
    r"""Says of each pair by itself, with a sigmoid, whether it belongs together.

    $$\ell^+ = \log \left( 1 + e^{-(t s(a, p) + b)} \right) \qquad
      \ell^- = \log \left( 1 + e^{t s(a, n) + b} \right)$$

    The factor t and the bias b are learned, t as its logarithm. As in the paper the sum over all pairs is divided by
    the number of anchors, which is what the default reducer does; `mean` takes the mean of the positive pairs, and that
    of the negative pairs, and so weighs them alike. Images against texts are embeddings against reference embeddings,
    with one label a couple. A distance enters with its sign turned. Zhai et al. 2023, "Sigmoid Loss for Language Image
    Pre-Training".

    Args:
        temperature: t at first, a factor as in the paper, and no divisor; greater than 0.
        bias: b at first.
    """

    is_symmetric: ClassVar[bool] = True
    divisor_is_symmetric: ClassVar[bool] = True

    def __init__(
        self,
        temperature: Annotated[float, Field(gt=0)] = 10.0,
        bias: float = -10.0,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.log_temperature = nn.Parameter(torch.full((), math.log(temperature)))
        self.bias = nn.Parameter(torch.full((), bias))

    @classmethod
    def default_distance(cls) -> Distance:
        """Inner product of unit embeddings."""
        return DotProductSimilarity()

    @classmethod
    def default_reducer(cls) -> Reducer:
        """The sum over the number of anchors."""
        return DivisorReducer()

    def prepare(self, batch: Batch) -> Batch:
        """The factor, the bias, and the share of an anchor that is in each of its pairs."""
        x, number = batch.anchors, max(len(batch.references), 1)
        share = x.new_full((), 1.0 / number, dtype=torch.promote_types(x.dtype, torch.float32))
        factor, bias = self.log_temperature.to(x.dtype).exp(), self.bias.to(x.dtype)
        return batch.replace(whole={"factor": factor, "bias": bias, "share": share})

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss`, `[A, K]`, and `neg_loss`, `[A, M]`."""
        d = self.distance(batch.anchors, batch.references)
        near, positives = self.distance.of_positives(batch, d)
        logits, negatives = self._logits(d, batch), batch.negatives
        anchors = (batch.whole["share"] * len(batch.references)).expand(len(batch))

        def push() -> Term:
            return Term(log_one_plus_exp(logits), negatives, kind="neg_pair", divisor=anchors)

        pull = Term(log_one_plus_exp(-self._logits(near, batch)), positives, kind="pos_pair", divisor=anchors)
        if batch.selection is not None:  # in which a pair may count more than once
            return {"pos_loss": pull, "neg_loss": push()}
        sums, count = _Softplus(negatives), number(logits, negatives)
        return {
            "pos_loss": pull,
            "neg_loss": SummedTerm(push, lambda: sums(logits), count, logits.numel(), "neg_pair", anchors),
        }

    def _logits(self, distances: Tensor, batch: Batch) -> Tensor:
        factor = self.distance.closeness(batch.whole["factor"])
        return torch.addcmul(batch.whole["bias"], distances, factor)


class _Softplus(Rowwise):
    """Σ log(1 + exp(x)) of those entries of a row that count: `[A]`.

    Args:
        weight: bool `[A, M]`, which count.
    """

    def __init__(self, weight: Tensor) -> None:
        self.which = Which(weight)

    def plain(self, values: Tensor) -> Tensor:
        return log_one_plus_exp(values).masked_fill(~self.which.weight, 0.0).sum(1)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        some = torch.mul(values, PER_E, out=self.scratch(values))
        return log_one_plus_exp_sums_(self.which.fill_(some, rows, -torch.inf))

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        self.which.fill_(out.copy_(values), rows, -torch.inf).sigmoid_().mul_(gradient[:, None])
