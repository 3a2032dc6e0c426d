"""What losses that classify embeddings by their logits to class vectors share."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from metricreg.batch import Batch
from metricreg.exclusion import all_but_one
from metricreg.kinds.loss import Terms
from metricreg.losses.logsumexp import log_one_plus_exp, masked_logsumexp
from metricreg.losses.proxy import ProxyLoss
from metricreg.term import Term


class ProxySoftmaxLoss(ProxyLoss):
    """Cross entropy of each embedding's logits to the classes, times its weight. A subclass implements `logits`."""

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the references."""
        return batch.against(*self.classes(batch))

    @abstractmethod
    def logits(self, batch: Batch, target: Tensor) -> tuple[Tensor, Tensor]:
        """A logit a class `[A, C]`; and of each anchor's own class, target `[A, 1]`, the one to use, `[A, 1]`."""

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        assert batch.anchor_labels is not None  # checked in prepare
        target = batch.anchor_labels.long()[:, None]
        losses = cross_entropy(*self.logits(batch, target), target)
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights)}


def cross_entropy(logits: Tensor, own: Tensor, target: Tensor) -> Tensor:
    """-log softmax of own `[A, 1]`, which stands for column target `[A, 1]` of `[A, C]`; exact where it is tiny."""
    others = all_but_one(target, logits.shape[1])
    return log_one_plus_exp(masked_logsumexp(logits, others) - own[:, 0])
