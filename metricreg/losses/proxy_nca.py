"""Proxy NCA loss."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.components.proxy_loss import ProxySlots
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import LpDistance


class ProxyNCALoss(ProxySoftmaxLoss):
    r"""How unlikely an embedding is to have its own class among its neighbours, which are the class proxies.

    $$\ell_a = -\log \frac{e^{-s\, d(a, p_y)}}{\sum_c e^{-s\, d(a, p_c)}}$$

    The proxy of the own class is in the sum too, which makes it a probability and the loss not negative; the paper
    leaves it out. Tuples or a miner weigh each embedding's loss by how often it occurs in them. Movshovitz-Attias et
    al. 2017, "No Fuss Distance Metric Learning using Proxies".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        softmax_scale: s, greater than 0, a factor of the distances.
    """

    default_distance = partial(LpDistance, power=2.0)

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        softmax_scale: Annotated[float, Field(gt=0)] = 1.0,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.softmax_scale = softmax_scale

    @property
    def factor(self) -> float:
        """The scale, its sign turned for distances."""
        return self.distance.sign * self.softmax_scale

    def own(self, distances: Tensor, batch: Batch) -> Tensor:
        """Scaled distances, with the sign of the factor."""
        return distances * self.factor
