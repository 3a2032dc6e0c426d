"""SigLIP."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, LossSlots
from metricreg.components.learned import LearnedNumber, PositiveNumber
from metricreg.components.loss import Terms
from metricreg.distances import DotProductSimilarity
from metricreg.functional.logsumexp import softplus
from metricreg.reducers import DivisorReducer


class SigLIPLoss(Loss):
    r"""Says of each pair by itself, with a sigmoid, whether it belongs together.

    $$\ell^+ = \log \left( 1 + e^{-(t s(a, p) + b)} \right) \qquad
      \ell^- = \log \left( 1 + e^{t s(a, n) + b} \right)$$

    The factor t and the bias b are learned. As in the paper the sum over all pairs is divided by
    the number of anchors, which is what the default reducer does; `mean` takes the mean of the positive pairs, and that
    of the negative pairs, and so weighs them alike. Images against texts are embeddings against reference embeddings,
    with one label a couple. A distance enters with its sign turned. Zhai et al. 2023, "Sigmoid Loss for Language Image
    Pre-Training".

    Args:
        temperature: t at first, a factor as in the paper, and no divisor; greater than 0, or with
            bounds: `{"learned": 10, "min": 1, "max": 100}`.
        bias: b at first.
    """

    default_distance = DotProductSimilarity
    default_reducer = DivisorReducer

    def __init__(
        self,
        temperature: PositiveNumber = 10.0,
        bias: float = -10.0,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.temperature: Any = LearnedNumber.of(
            temperature if isinstance(temperature, dict) else {"learned": temperature}
        )
        self.bias = nn.Parameter(torch.full((), bias))

    def prepare(self, batch: Batch) -> Batch:
        """The factor and the bias."""
        dtype = batch.anchors.dtype
        return batch.replace(shared={"factor": self.temperature(dtype), "bias": self.bias.to(dtype)})

    def terms(self, batch: Batch) -> Terms:
        """`pos_loss`, `[A, K]`, and `neg_loss`, `[A, M]`."""
        d = self.distance.between(batch)
        near, positives = self.distance.to_positives(batch, d)
        anchors = torch.ones_like(d[:, :0].sum(1))
        pull, push = softplus(-self._logits(near, batch)), softplus(self._logits(d, batch))
        return {
            "pos_loss": Term(pull, positives, kind="pos_pair", divisor=anchors),
            "neg_loss": Term(push, batch.negatives, kind="neg_pair", divisor=anchors),
        }

    def _logits(self, distances: Tensor, batch: Batch) -> Tensor:
        factor = self.distance.closeness(batch.shared["factor"])
        return torch.addcmul(batch.shared["bias"], distances, factor)
