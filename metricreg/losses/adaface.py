"""AdaFace."""

from __future__ import annotations

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
from metricreg.functional.angles import cos_of_sum


class AdaFaceLoss(ProxySoftmaxLoss):
    r"""Cross entropy of scaled cosines, with a margin that changes with the embedding's length.

    $$\ell_a = -\log \frac{e^{s (\cos(\theta_y - m z) - m (1 + z))}}
    {e^{s (\cos(\theta_y - m z) - m (1 + z))} + \sum_{c \ne y} e^{s \cos \theta_c}} \qquad
    z = \left[ h \frac{\lVert a \rVert - \mu}{\sigma + 0.001} \right]_{-1}^{1}$$

    z has no gradient, and angles end at 0 and 180 degrees. Lengths count as 0.001 to 100; mu and sigma are running
    means of their mean and standard deviation over the steps before, 20 and 100 at first. They are part of the state,
    and stay as they are in evaluation mode. Tuples or a miner weigh each embedding's loss by how often it occurs in
    them. Kim et al. 2022, "AdaFace: Quality Adaptive Margin for Face Recognition".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, in radians as an angle and in units of the cosine, 0 to 1.5.
        h: how fast the margin changes with length, at least 0.
        scale: s, greater than 0.
        momentum: the share of a batch in the running means, 0 to 1.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)

    mean: Tensor
    std: Tensor

    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: Annotated[float, Field(ge=0, le=1.5)] = 0.4,
        h: Annotated[float, Field(ge=0)] = 0.333,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        momentum: Annotated[float, Field(ge=0, le=1)] = 0.01,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)
        self.margin = margin
        self.h = h
        self.scale = scale
        self.momentum = momentum
        self.register_buffer("mean", torch.full((), 20.0))
        self.register_buffer("std", torch.full((), 100.0))

    @property
    def factor(self) -> float:
        """The scale."""
        return self.scale

    def margin_logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines, and scaled with the margins."""
        cosine = self.distance.between(batch)
        deviation = self._deviations(batch)[:, None] / (self.std.to(cosine.dtype) + 1e-3)
        z = (deviation * self.h).clamp(-1.0, 1.0)
        own, angle = cosine.gather(1, target), -self.margin * z
        sine = sines_between(self.distance, batch, own, target)
        turned, short = cos_of_sum(own, sine, angle), sine < angle.sin().abs()  # angles are less than 90 degrees
        turned = torch.where((angle < 0.0) & (own > 0.0) & short, 1.0, turned)
        turned = torch.where((angle > 0.0) & (own < 0.0) & short, -1.0, turned)
        return cosine, (turned - self.margin * (1.0 + z)) * self.scale

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`. `length`: for the running means."""
        deviations = self._deviations(batch)
        count = torch.full((), len(batch), device=deviations.device)
        moments = deviations.sum(), deviations.square().sum(), count
        return {**super().terms(batch), "length": Scalar(moments)}

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        """Move the running means, as far as the batch has a finite mean and standard deviation."""
        if not self.training:
            return
        total, squares, count = statistics["length"]
        deviation = total / count
        std = ((squares - total * deviation).clamp(min=0.0) / (count - 1)).sqrt()
        for buffer, value in ((self.mean, self.mean + deviation), (self.std, std)):
            moved = buffer.lerp(value.to(buffer.dtype), self.momentum)
            buffer.copy_(torch.where(moved.isfinite(), moved, buffer))

    def _deviations(self, batch: Batch) -> Tensor:
        """The lengths less their running mean, `[A]`."""
        lengths: Tensor = torch.linalg.vector_norm(batch.anchors.detach(), dim=1).clamp(1e-3, 100.0)
        return lengths - self.mean.to(lengths.dtype)
