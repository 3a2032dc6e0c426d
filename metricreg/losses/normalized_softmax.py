"""Normalized softmax loss."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.components.learned import LearnedNumber, PositiveNumber
from metricreg.components.proxy_loss import ProxySlots
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import DotProductSimilarity
from metricreg.functional.safe import normalize_rows


class NormalizedSoftmaxLoss(ProxySoftmaxLoss):
    r"""Cross entropy of similarities to class vectors of unit length, over a temperature.

    $$\ell_a = -\log \frac{e^{\langle a, w_y \rangle / t}}{\sum_c e^{\langle a, w_c \rangle / t}} \qquad
    \lVert w_c \rVert = 1$$

    Distances stand in with their sign turned. Tuples or a miner weigh each embedding's loss by how often it occurs in
    them. Zhai and Wu 2018, "Classification is a Strong Baseline for Deep Metric Learning".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        temperature: t, in units of the similarity, greater than 0; `{"learned": 0.05}` to learn it.
    """

    default_distance = DotProductSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        temperature: PositiveNumber = 0.05,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.temperature = LearnedNumber.of(temperature)

    def vectors(self, proxies: Tensor) -> Tensor:
        """Scaled to unit length."""
        return normalize_rows(proxies)

    @property
    def factor(self) -> float | Tensor:
        """One over the temperature, its sign turned for distances."""
        return self.distance.sign / LearnedNumber.value(self.temperature)

    def own(self, distances: Tensor, batch: Batch) -> Tensor:
        """Similarities over the temperature."""
        return distances * self.factor
