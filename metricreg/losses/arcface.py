"""ArcFace."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.components import Distance
from metricreg.components.proxy_loss import ProxySlots
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import CosineSimilarity
from metricreg.distances.cosine import sines_between
from metricreg.functional.angles import cos_with_margin


class ArcFaceLoss(ProxySoftmaxLoss):
    r"""Cross entropy of scaled cosines, with an angle added to that of the true class.

    $$\ell_a = -\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + \sum_{c \ne y} e^{s \cos \theta_c}}$$

    Where theta + m would pass 180 degrees, cos(theta) - m sin(m) stands in, which keeps the loss rising with theta.
    Tuples or a miner weigh each embedding's loss by how often it occurs in them. Deng et al. 2019, "ArcFace: Additive
    Angular Margin Loss for Deep Face Recognition".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, in degrees, 0 to 180.
        scale: s, greater than 0.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: Annotated[float, Field(ge=0, le=180)] = 28.6,
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
        """Scaled cosines with the margin."""
        assert batch.anchor_labels is not None  # checked in prepare
        sines = sines_between(self.distance, batch, distances, batch.anchor_labels.long()[:, None])
        return cos_with_margin(distances, sines, distances.new_full((), math.radians(self.margin))) * self.scale
