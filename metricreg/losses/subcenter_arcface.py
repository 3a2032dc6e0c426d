"""Sub-center ArcFace."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
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


class SubCenterArcFaceLoss(ProxySoftmaxLoss):
    r"""ArcFace with several centers a class, of which each embedding is compared with the nearest.

    $$\ell_a = -\log \frac{e^{s \cos(\theta_y + m)}}{e^{s \cos(\theta_y + m)} + \sum_{c \ne y} e^{s \cos \theta_c}}
    \qquad \theta_c = \min_k \theta_{ck}$$

    Noisy samples gather at other centers than most of their class; `outliers` finds them. Centers equally near share
    the gradient. Past 180 degrees and for tuples as in `arcface`. Deng et al. 2020, "Sub-center ArcFace: Boosting Face
    Recognition by Large-scale Noisy Web Faces".

    Args:
        num_classes: C, at least 1; labels are 0 to C - 1.
        embedding_size: the dimension of the embeddings, at least 1.
        margin: m, in degrees, 0 to 180.
        scale: s, greater than 0.
        sub_centers: how many centers a class has, at least 1.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        margin: Annotated[float, Field(ge=0, le=180)] = 28.6,
        scale: Annotated[float, Field(gt=0)] = 64.0,
        sub_centers: Annotated[int, Field(gt=0)] = 3,
        **slots: Unpack[ProxySlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, sub_centers, **slots)
        self.margin = margin
        self.scale = scale

    @property
    def factor(self) -> float:
        """The scale."""
        return self.scale

    def margin_logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of each class's nearest center, and with the margin."""
        to_centers = self._to_centers(batch)
        cosine = to_centers.amax(2)
        columns = target * self.centers_per_class + torch.arange(self.centers_per_class, device=target.device)
        own = to_centers.flatten(1).gather(1, columns)
        sines = sines_between(self.distance, batch, own, columns)
        turned = cos_with_margin(own, sines, self.angle(cosine, target))
        farther = own < own.amax(1, keepdim=True)
        return cosine, turned.masked_fill(farther, -torch.inf).amax(1, keepdim=True) * self.scale

    def class_logits(self, batch: Batch) -> Tensor:
        """Scaled cosines of each class's nearest center, `[A, C]`."""
        return self._to_centers(batch).amax(2) * self.scale

    def _to_centers(self, batch: Batch) -> Tensor:
        """Cosines, `[A, C, K]`."""
        return self.distance.between(batch).view(len(batch), self.num_classes, self.centers_per_class)

    def angle(self, cosine: Tensor, target: Tensor) -> Tensor:
        """The margin in radians, in the type of the cosines: one, or `[A, 1]` of target `[A, 1]`."""
        return cosine.new_full((), math.radians(self.margin))

    def dominant_centers(self, embeddings: Tensor, labels: Any) -> Tensor:
        """The row of `proxies` that is the nearest center of most samples of a class, `[C]`; the first of equals.

        Args:
            embeddings: `[N, D]`, of the training set.
            labels: `[N]`, integers; a class without samples has its first center.
        """
        return self._dominant(*self._own(embeddings, labels))

    def outliers(self, embeddings: Tensor, labels: Any, threshold: float = 75.0) -> Tensor:
        """The rows, ascending, whose angle to the dominant center of their class is beyond a threshold, or NaN.

        Args:
            embeddings: `[N, D]`, of the training set.
            labels: `[N]`, integers.
            threshold: in degrees.
        """
        target, cosine = self._own(embeddings, labels)
        center = self._dominant(target, cosine)[target] % self.centers_per_class
        near = cosine.gather(1, center[:, None])[:, 0] >= math.cos(math.radians(threshold))
        return (~near).nonzero()[:, 0]

    def _own(self, embeddings: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        """The classes `[N]`, and the cosines to their centers `[N, K]`, a center at a time."""
        with torch.no_grad(), torch.autocast(embeddings.device.type, enabled=False):
            batch = Batch.of(embeddings, labels)
            proxies, _ = self.classes(batch)
            assert batch.anchor_labels is not None  # checked in classes
            target, k = batch.anchor_labels.long(), self.centers_per_class
            cosines = [self.distance.pairwise(batch.anchors, proxies[target * k + i]) for i in range(k)]
            return target, torch.stack(cosines, 1)

    def _dominant(self, target: Tensor, cosine: Tensor) -> Tensor:
        nearest = target * self.centers_per_class + cosine.argmax(1)
        counts = torch.zeros(len(self.proxies), dtype=torch.long, device=target.device)
        counts = counts.index_add(0, nearest, torch.ones_like(nearest)).view(-1, self.centers_per_class)
        first = torch.arange(self.num_classes, device=target.device) * self.centers_per_class
        return first + counts.argmax(1)
