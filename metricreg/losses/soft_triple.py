"""SoftTriple loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.components.proxy_loss import ProxySlots, WeightInit
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import CosineSimilarity


class SoftTripleLoss(ProxySoftmaxLoss):
    r"""Cross entropy of similarities to classes that have several centers each, less a margin for the true class.

    $$\ell_a = -\log \frac{e^{\lambda (S_y - \delta)}}{e^{\lambda (S_y - \delta)} + \sum_{c \ne y} e^{\lambda S_c}}
    \qquad S_c = \sum_k \frac{e^{s_{ck} / \gamma}}{\sum_j e^{s_{cj} / \gamma}} s_{ck}$$

    s are the similarities to the centers; distances stand in with their sign turned. Tuples or a miner weigh each
    embedding's loss by how often it occurs in them. The regularizer `sparse_centers` goes with it as
    `weight_regularizer`. Qian et al. 2019, "SoftTriple Loss: Deep Metric Learning Without Triplet Sampling".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        centers_per_class: at least 1.
        la: lambda, greater than 0, the scale of the logits.
        gamma: greater than 0, in units of the similarity; the smaller, the more the nearest center alone counts.
        margin: delta, in units of the similarity, at least 0.
    """

    default_weight_init: ClassVar[WeightInit] = "kaiming_uniform"
    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        centers_per_class: Annotated[int, Field(gt=0)] = 10,
        la: Annotated[float, Field(gt=0)] = 20.0,
        gamma: Annotated[float, Field(gt=0)] = 0.1,
        margin: Annotated[float, Field(ge=0)] = 0.01,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, centers_per_class, **slots)
        self.la = la
        self.gamma = gamma
        self.margin = margin

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the references: the first center of every class, then the second of every class."""
        proxies, classes = self.classes(batch)
        return batch.against(self.vectors(proxies), classes[self._order])

    def vectors(self, proxies: Tensor) -> Tensor:
        """The same in that order."""
        return proxies[self._order]

    @property
    def _order(self) -> Tensor:
        order = torch.arange(len(self.proxies), device=self.proxies.device)
        return order.view(self.num_classes, self.centers_per_class).T.flatten()

    def margin_logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled similarities to the classes, and less the margin."""
        logits = self.class_logits(batch)
        return logits, logits.gather(1, target) - self.la * self.margin

    def class_logits(self, batch: Batch) -> Tensor:
        """Scaled similarities to the classes, the soft maximum over their centers, `[A, C]`."""
        distances = self.distance.between(batch)
        similarities = self.distance.closeness(distances).view(len(batch), self.centers_per_class, self.num_classes)
        found: Tensor = ((similarities / self.gamma).softmax(1) * similarities).sum(1) * self.la
        return found
