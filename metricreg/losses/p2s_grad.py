"""P2SGrad loss."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Scalar
from metricreg.components import Distance, UnreducedLossSlots
from metricreg.components.loss import Terms
from metricreg.components.proxy_loss import ProxyLoss
from metricreg.distances import CosineSimilarity
from metricreg.functional.safe import normalize_rows


class P2SGradLoss(ProxyLoss):
    r"""Mean squared error of the cosines to class vectors: 1 is wanted for the true class, 0 for the others.

    $$\frac{1}{N C} \sum_{i=1}^N \sum_{c=1}^C (\cos \theta_{ic} - [c = y_i])^2$$

    Its gradient is what the paper asks for, without scale or margin. It is a mean of its own, which no reducer changes.
    Tuples or a miner weigh each embedding by how often it occurs in them. Zhang et al. 2019, "P2SGrad: Refined
    Gradients for Optimizing Deep Face Models".

    Args:
        embedding_size: the dimension of the embeddings, at least 1.
        num_classes: C, at least 1; labels are 0 to C - 1.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (CosineSimilarity,)
    default_distance = CosineSimilarity

    def __init__(
        self,
        embedding_size: Annotated[int, Field(gt=0)],
        num_classes: Annotated[int, Field(gt=0)],
        **slots: Unpack[UnreducedLossSlots],
    ) -> None:
        super().__init__(num_classes, embedding_size, **slots)

    def reset_parameters(self) -> None:
        """Draw the proxies anew, from a cube, and scale them to unit length."""
        with torch.no_grad():
            self.proxies.copy_(normalize_rows(self.proxies.uniform_(-1.0, 1.0)))

    def prepare(self, batch: Batch) -> Batch:
        """The proxies are the references."""
        return batch.against(*self.classes(batch))

    def terms(self, batch: Batch) -> Terms:
        """`loss`: the sum of the squared errors, and their number."""
        assert batch.anchor_labels is not None  # checked in prepare
        target = batch.anchor_labels.long()[:, None]
        cosine = self.distance.between(batch)
        wanted = torch.zeros_like(cosine).scatter_(1, target, 1.0)
        if batch.weights is None:
            total = torch.nn.functional.mse_loss(cosine, wanted, reduction="sum")
        else:
            total = ((cosine - wanted).square().sum(1) * batch.weights).sum()
        count = torch.full((), cosine.numel(), device=total.device)
        return {"loss": Scalar((total, count), lambda total, count: total / count.clamp(min=1))}
