"""Large-margin softmax loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.components import Distance
from metricreg.components.proxy_loss import ProxySlots
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import CosineSimilarity
from metricreg.functional.angles import cos_of_multiple
from metricreg.functional.safe import row_norms


class LargeMarginSoftmaxLoss(ProxySoftmaxLoss):
    r"""Cross entropy of inner products with class vectors, the angle to that of the true class multiplied.

    $$\ell_a = -\log \frac{e^{s \lVert a \rVert \lVert w_y \rVert \psi(\theta_y)}}
    {e^{s \lVert a \rVert \lVert w_y \rVert \psi(\theta_y)} + \sum_{c \ne y} e^{s \langle a, w_c \rangle}}$$
    $$\psi(\theta) = (-1)^k \cos(m \theta) - 2 k, \qquad \frac{k \pi}{m} \le \theta \le \frac{(k + 1) \pi}{m}$$

    Tuples or a miner weigh each embedding's loss by how often it occurs in them. Liu et al. 2016, "Large-Margin Softmax
    Loss for Convolutional Neural Networks".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, a whole number of 1 to 32; 1 is the softmax without margin.
        scale: s, greater than 0.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: Annotated[int, Field(ge=1, le=32)] = 4,
        scale: Annotated[float, Field(gt=0)] = 1.0,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.margin = margin
        self.scale = scale

    def margin_logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines times both lengths, and with the angle multiplied."""
        cosine, lengths = self.distance.between(batch), self._lengths(batch)
        return cosine * lengths, cos_of_multiple(cosine.gather(1, target), self.margin) * lengths.gather(1, target)

    def class_logits(self, batch: Batch) -> Tensor:
        """Cosines times both lengths, which are inner products times the scale, `[A, C]`."""
        found: Tensor = self.distance.between(batch) * self._lengths(batch)
        return found

    def _lengths(self, batch: Batch) -> Tensor:
        return row_norms(batch.anchors) * self.scale * row_norms(batch.references).mT
