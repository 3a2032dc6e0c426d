"""SigLIP."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import nn
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.distances import DotProductSimilarity
from metricreg.kinds import Distance, Loss, LossSlots, Reducer
from metricreg.kinds.loss import Terms
from metricreg.losses.logsumexp import log_one_plus_exp
from metricreg.reducers import DivisorReducer
from metricreg.term import Term


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
        """The factor and the bias."""
        dtype = batch.anchors.dtype
        return batch.replace(whole={"factor": self.log_temperature.to(dtype).exp(), "bias": self.bias.to(dtype)})

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss` and `neg_loss`, `[A, M]` each."""
        s = self.distance.closeness(self.distance(batch.anchors, batch.references))
        logits = s * batch.whole["factor"] + batch.whole["bias"]
        one = torch.ones(len(batch), dtype=torch.long, device=s.device)
        return {
            "pos_loss": Term(log_one_plus_exp(-logits), batch.positives, kind="pos_pair", divisor=one),
            "neg_loss": Term(log_one_plus_exp(logits), batch.negatives, kind="neg_pair", divisor=one),
        }
