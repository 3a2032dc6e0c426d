"""What losses that classify embeddings by their logits to class vectors share."""

from __future__ import annotations

from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components.loss import Terms
from metricreg.components.proxy_loss import ProxyLoss
from metricreg.engine.class_sweep import ClassSweep
from metricreg.functional.logsumexp import LogSumExp, log_one_plus_exp
from metricreg.functional.strips import AllButOne

BLOCK = 2**20
"""Logits of a block of classes."""
MANY = 2**15
"""Classes that are looked at block by block, where the execution leaves the choice."""


class ProxySoftmaxLoss(ProxyLoss):
    """Cross entropy of each embedding's logits to the classes, times its weight.

    A subclass implements `others` and `own`, if the logit to a class is of its distance alone, and else `logits`.
    """

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the references; but of very many, only the losses are left, as `row["loss"]`."""
        proxies, classes = self.classes(batch)
        if not self._in_blocks(batch):
            return batch.against(self.vectors(proxies), classes)
        against = batch.against(proxies, classes)
        sweep = ClassSweep(self._others_of, self._own_of, self.factor, max(1, BLOCK // max(len(batch), 1)), self)
        others, own = sweep.logits(against)
        row = {"loss": log_one_plus_exp(others - own)}
        return batch.replace(selection=None, weights=against.weights, row=row)

    def vectors(self, proxies: Tensor) -> Tensor:
        """What is made of each proxy once, whatever the distance makes of it."""
        return proxies

    @property
    def factor(self) -> float:
        """By what `others` are multiplied to be logits; the sum of their exponentials does it in passing."""
        return 1.0

    def others(self, distances: Tensor, batch: Batch) -> Tensor:
        """Logits to classes `[A, C]` over the factor, by the distances to them; those themselves if not overridden."""
        return distances

    def own(self, distances: Tensor, batch: Batch) -> Tensor:
        """The logits to use of the anchors' own classes `[A, 1]`, by the distances to those."""
        raise NotImplementedError

    def logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """A logit a class over the factor, `[A, C]`; and of the anchors' own classes, target `[A, 1]`, the ones to use,
        `[A, 1]`.
        """
        distances = self.distance(batch.anchors, batch.references)
        return self.others(distances, batch), self.own(distances.gather(1, target), batch)

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        if "loss" in batch.row:
            losses = batch.row["loss"]
        else:
            assert batch.anchor_labels is not None  # checked in prepare
            target = batch.anchor_labels.long()[:, None]
            if self._by_distance and type(self).others is ProxySoftmaxLoss.others:
                distances = self.distance(batch.anchors, batch.references)
                others = LogSumExp(AllButOne(target, distances.shape[1]), self.factor)
                total, own = others.with_entries(distances, target)
                losses = log_one_plus_exp(total - self.own(own, batch)[:, 0])
            else:
                losses = cross_entropy(*self.logits(batch, target), target, self.factor)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights)}

    def width(self, batch: Batch) -> int:
        """C; 1 where the losses are there."""
        return 1 if "loss" in batch.row else super().width(batch)

    def _in_blocks(self, batch: Batch) -> bool:
        """Whether logits are made a block of classes at a time."""
        one_each = self._by_distance and self.centers_per_class == 1
        return one_each and self.num_classes >= MANY and batch.in_tiles

    @property
    def _by_distance(self) -> bool:
        """Whether the logit to a class is of its distance alone."""
        return type(self).logits is ProxySoftmaxLoss.logits

    def _others_of(self, batch: Batch) -> Tensor:
        return self.others(self.distance(batch.anchors, self.vectors(batch.references)), batch)

    def _own_of(self, batch: Batch, vectors: Tensor) -> Tensor:
        return self.own(self.distance.pairwise(batch.anchors, self.vectors(vectors))[:, None], batch)[:, 0]


def cross_entropy(logits: Tensor, own: Tensor, target: Tensor, factor: float = 1.0) -> Tensor:
    """-log softmax of own `[A, 1]`, which stands for column target `[A, 1]` of `[A, C]`; exact where it is tiny.

    Args:
        logits: over the factor.
        own: not over it.
        target: int64.
        factor: by what the logits are multiplied.
    """
    others = LogSumExp(AllButOne(target, logits.shape[1]), factor)
    return log_one_plus_exp(others(logits) - own[:, 0])
