"""CurricularFace."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar
from metricreg.components import Distance
from metricreg.components.loss import Terms
from metricreg.components.proxy_loss import ProxySlots
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import CosineSimilarity
from metricreg.distances.cosine import sines_between
from metricreg.functional.angles import cos_with_margin


class CurricularFaceLoss(ProxySoftmaxLoss):
    r"""ArcFace in which hard negative classes count little at first, and more as training goes on.

    $$\ell_a = -\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + \sum_{c \ne y} e^{s N_c}} \qquad
    N_c = \begin{cases} \cos \theta_c & \cos \theta_c \le \cos(\theta_y + m) \\
    \cos \theta_c (t + \cos \theta_c) & \text{else} \end{cases}$$

    t is the running mean of cos(theta_y) over the steps before, 0 at first. It is part of the state, and stays as it is
    in evaluation mode. Past 180 degrees and for tuples as in `arcface`. Huang et al. 2020, "CurricularFace: Adaptive
    Curriculum Learning Loss for Deep Face Recognition".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, in degrees, 0 to 180.
        scale: s, greater than 0.
        momentum: the share of a batch in the running mean, 0 to 1.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)

    t: Tensor

    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: Annotated[float, Field(ge=0, le=180)] = 28.6,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.01,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.margin = margin
        self.scale = scale
        self.momentum = momentum
        self.register_buffer("t", torch.zeros(()))

    @property
    def factor(self) -> float:
        """The scale."""
        return self.scale

    def margin_logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines, those of hard classes times t plus themselves; and with the margin."""
        cosine = self.distance.between(batch)
        own = cosine.gather(1, target)
        sines = sines_between(self.distance, batch, own, target)
        own = cos_with_margin(own, sines, cosine.new_full((), math.radians(self.margin)))
        eased = torch.where(cosine > own, cosine * (self.t.to(cosine.dtype) + cosine), cosine)
        return eased, own * self.scale

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`. `own_cosine`: for the running mean."""
        assert batch.anchor_labels is not None  # checked in prepare
        with torch.no_grad():
            own = self.distance.pairwise(batch.anchors, batch.references[batch.anchor_labels.long()])
        count = torch.full((), len(batch), device=own.device)
        return {**super().terms(batch), "own_cosine": Scalar((own.sum(), count))}

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        """Move t towards the mean cosine of the batch, if there is one and it is finite."""
        if not self.training:
            return
        total, count = statistics["own_cosine"]
        mean = (total / count).to(self.t.dtype)
        self.t.copy_(torch.where(mean.isfinite(), self.t.lerp(mean, self.momentum), self.t))
