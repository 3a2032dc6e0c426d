"""What losses share that classify embeddings by their logits to class vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components.check_promises import check_distance
from metricreg.components.logsumexp_loss import exponent_bounds
from metricreg.components.loss import Terms
from metricreg.components.proxy_loss import ProxyLoss
from metricreg.engine.execution import CLASS_BLOCK_VALUES, MANY_CLASSES
from metricreg.engine.tiled import Output, Sweep
from metricreg.functional.logsumexp import Scale, logsumexp, masked_exp, softplus
from metricreg.functional.masked import Mask


class ProxySoftmaxLoss(ProxyLoss):
    """Cross entropy of each embedding's logits to the classes, times its weight.

    A subclass implements `others` and `own`, if the logit to a class is of its distance alone; else `margin_logits`.
    """

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the references; but of very many, only the losses are left, as `per_anchor["loss"]`."""
        proxies, classes = self.classes(batch)
        against = batch.against(self.vectors(proxies), classes)
        if not self._in_blocks(batch):
            return against
        row = {"loss": self._by_blocks(against, proxies, classes)}
        return batch.replace(selection=None, weights=against.weights, per_anchor=row)

    @property
    def factor(self) -> Scale:
        """By what `others` are multiplied to be logits; the sum of their exponentials does it in passing."""
        return 1.0

    def others(self, distances: Tensor, batch: Batch) -> Tensor:
        """Logits to classes `[A, C]` over the factor, by the distances to them; those themselves if not overridden."""
        return distances

    def own(self, distances: Tensor, batch: Batch) -> Tensor:
        """The logits to use of the anchors' own classes `[A, 1]`, by the distances to those."""
        raise NotImplementedError

    def margin_logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """A logit a class over the factor, `[A, C]`; and of the anchors' own classes, target `[A, 1]`, the ones to use,
        `[A, 1]`.
        """
        distances = self.distance.between(batch)
        return self.others(distances, batch), self.own(self.distance.at_columns(batch, distances, target), batch)

    def class_logits(self, batch: Batch) -> Tensor:
        """The logits without margin, `[A, C]`."""
        return self.factor * self.others(self.distance.between(batch), batch)

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        if "loss" in batch.per_anchor:
            losses = batch.per_anchor["loss"]
        else:
            assert batch.anchor_labels is not None  # checked in prepare
            target = batch.anchor_labels.long()[:, None]
            losses = cross_entropy(*self.margin_logits(batch, target), target, self.factor)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights)}

    def width(self, batch: Batch) -> int:
        """C; 1 where the losses are there."""
        return 1 if "loss" in batch.per_anchor else super().width(batch)

    # -- very many classes --------------------------------------------------------------------------------------------

    def _in_blocks(self, batch: Batch) -> bool:
        """Whether logits are made a block of classes at a time.

        Unit vectors of a million classes and their gradient take as much memory again as the vectors and theirs. So
        the class vectors become the anchors, of which a tile is prepared at a time: four products instead of three, and
        nothing of the size of all class vectors but their gradient.
        """
        cls = type(self)
        by_distance = cls.margin_logits is ProxySoftmaxLoss.margin_logits and cls.others is ProxySoftmaxLoss.others
        if not (by_distance and self.centers_per_class == 1 and self.num_classes >= MANY_CLASSES and batch.may_tile):
            return False
        return self.distance.is_symmetric and self._bounds(batch) is not None

    def _bounds(self, batch: Batch) -> tuple[float, float] | None:
        return exponent_bounds(self.distance, lambda x: (x, self.factor, 0.0), batch.anchors.dtype)

    def _by_blocks(self, batch: Batch, proxies: Tensor, classes: Tensor) -> Tensor:
        """The loss of each embedding, `[N]`."""
        bounds = self._bounds(batch)
        assert bounds is not None  # as _in_blocks says
        check_distance(self.distance, batch)
        middle = (bounds[0] + bounds[1]) / 2.0
        turned = Batch(proxies, batch.anchors, classes, batch.anchor_labels)

        def sums(part: Batch) -> Sequence[Output]:
            """Of each embedding the exponentials of the logits to these classes but its own; the distance to that."""
            distances = self.distance.between(part.with_tensors(anchors=self.vectors(part.anchors)))
            assert part.reference_labels is not None  # checked in prepare
            assert part.anchor_labels is not None
            row = part.reference_labels.long() - part.anchor_labels[0]  # of each embedding's class in this block
            inside = (row >= 0) & (row < len(part))
            own = distances.gather(0, row.clamp(0, len(part) - 1)[None])[0].where(inside, 0.0)
            powers = masked_exp(distances, part.negative_mask, self.factor, -middle)
            return [(powers.sum(0), distances.numel()), (own, distances.numel())]

        tile = max(1, CLASS_BLOCK_VALUES // max(len(batch), 1))
        sweep = Sweep(sums, tile, self, what="sums over blocks of classes")
        total, own = sweep.outputs(turned)
        none = total == 0.0  # there is one class
        logits = total.masked_fill(none, 1.0).log().masked_fill(none, -torch.inf) + middle
        return softplus(logits - self.own(own[:, None], batch)[:, 0])


def cross_entropy(logits: Tensor, own: Tensor, target: Tensor, factor: Scale = 1.0) -> Tensor:
    """-log softmax of own `[A, 1]`, which stands for column target `[A, 1]` of `[A, C]`; exact where it is tiny.

    Args:
        logits: over the factor.
        own: not over it.
        target: int64.
        factor: by what the logits are multiplied.
    """
    others = logsumexp(logits, Mask.all_but(target, logits.shape[1]), factor)
    return softplus(others - own[:, 0])
