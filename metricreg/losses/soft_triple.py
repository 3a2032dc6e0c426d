"""SoftTriple loss."""

from __future__ import annotations

from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.components import Distance
from metricreg.components.proxy_loss import ProxySlots, WeightInit
from metricreg.components.proxy_softmax_loss import ProxySoftmaxLoss
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import PER_E
from metricreg.functional.strips import Rowwise


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

    @classmethod
    def default_distance(cls) -> Distance:
        """Cosine."""
        return CosineSimilarity()

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the references: the first center of every class, then the second of every class."""
        proxies, classes = self.classes(batch)
        order = torch.arange(len(proxies), device=proxies.device).view(self.num_classes, self.centers_per_class)
        order = order.T.flatten()
        return batch.against(proxies[order], classes[order])

    def logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """Scaled similarities to the classes, and less the margin."""
        distances = self.distance(batch.anchors, batch.references)
        sign = 1.0 if self.distance.is_inverted else -1.0
        logits = _OfClasses(self.num_classes, self.centers_per_class, self.gamma, self.la, sign)(distances)
        return logits, logits.gather(1, target) - self.la * self.margin


class _OfClasses(Rowwise):
    """Logits of classes `[A, C]` from distances to their centers `[A, K C]`.

    For one matrix: from the value to the first gradient it remembers the sums over centers.

    Args:
        classes: C.
        centers: K.
        gamma: what similarities are divided by in the softmax over the centers of a class.
        la: by which the similarity of a class is multiplied.
        sign: by which a distance is multiplied to be a similarity.
    """

    def __init__(self, classes: int, centers: int, gamma: float, la: float, sign: float) -> None:
        self.classes, self.centers, self.la = classes, centers, sign * la
        self.inverse = sign / gamma
        self._found: dict[int, _Sums] = {}

    def plain(self, values: Tensor) -> Tensor:
        each = self._by_center(values)
        return ((each * self.inverse).softmax(1) * each).sum(1) * self.la

    def value(self, values: Tensor, rows: slice) -> Tensor:
        sums = self._sums(values)
        self._found = self._found | {rows.start: sums}  # that of a copy stays as it was
        return sums.average * self.la

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        found = self._found.pop(rows.start, None)
        average, top, total = found or self._sums(values)
        slope, factor = self._by_center(out), gradient / total * self.la
        # the difference first, as gamma, by which it is divided, may be next to nothing
        torch.sub(self._by_center(values), average[:, None], out=slope)
        torch.addcmul(factor[:, None], slope, (factor * self.inverse)[:, None], out=slope)
        slope.mul_(self._powers(values, top))

    def _sums(self, values: Tensor) -> _Sums:
        each = self._by_center(values)
        top = each.amax(1) if self.inverse > 0.0 else each.amin(1)
        weights, product = self._powers(values, top), self._by_center(self.scratch(values, 1))
        total = weights.sum(1)
        return _Sums(torch.mul(weights, each, out=product).sum(1).div_(total), top, total)

    def _powers(self, values: Tensor, top: Tensor) -> Tensor:
        """The weights of the centers over the largest of each class, `[R, K, C]`."""
        out = self._by_center(self.scratch(values))
        return torch.sub(self._by_center(values), top[:, None], out=out).mul_(self.inverse * PER_E).exp2_()

    def _by_center(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self.centers, self.classes)


class _Sums(NamedTuple):
    """What is known of the centers of each class, `[R, C]` each.

    Args:
        average: of the distances to them.
        top: the nearest.
        total: of the weights over that of the nearest.
    """

    average: Tensor
    top: Tensor
    total: Tensor
