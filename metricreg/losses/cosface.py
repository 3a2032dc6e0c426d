"""CosFace."""

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


class CosFaceLoss(ProxySoftmaxLoss):
    r"""Cross entropy of scaled cosines, that of the true class reduced by a margin.

    $$\ell_a = -\log \frac{e^{s (\cos \theta_y - m)}}{e^{s (\cos \theta_y - m)} + \sum_{c \ne y} e^{s \cos \theta_c}}$$

    Tuples or a miner weigh each embedding's loss by how often it occurs in them. Wang et al. 2018, "CosFace: Large
    Margin Cosine Loss for Deep Face Recognition".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, in units of the cosine, at least 0.
        scale: s, greater than 0.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: Annotated[float, Field(ge=0)] = 0.35,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.margin = margin
        self.scale = scale

    @property
    def factor(self) -> float:
        """The scale."""
        return self.scale

    def own(self, distances: Tensor, batch: Batch) -> Tensor:
        """Scaled cosines less the margin."""
        return distances * self.scale - self.scale * self.margin
