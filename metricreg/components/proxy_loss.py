"""What losses with learned class vectors share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.labels import check_classes
from metricreg.components import Loss, Regularizer, UnmatchedLossSlots
from metricreg.components.loss import Terms
from metricreg.components.regularizer import penalty
from metricreg.errors import InputError
from metricreg.functional.precision import full_precision

WeightInit = Literal[
    "normal", "uniform", "xavier_normal", "xavier_uniform", "kaiming_normal", "kaiming_uniform", "orthogonal"
]

INITS: dict[str, Callable[[Tensor], Any]] = {
    "normal": nn.init.normal_,
    "uniform": nn.init.uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "kaiming_normal": partial(nn.init.kaiming_normal_, mode="fan_out"),
    "kaiming_uniform": partial(nn.init.kaiming_uniform_, mode="fan_out"),
    "orthogonal": nn.init.orthogonal_,
}


class ProxySlots(UnmatchedLossSlots, total=False):
    """What every loss with class vectors takes besides its own parameters."""

    weight_init: WeightInit | None
    weight_regularizer: Regularizer | None
    weight_reg_weight: Annotated[float, Field(default=1.0)]


class ProxyLoss(Loss):
    """A loss that compares embeddings with learned vectors, `proxies [C K, E]`, one or several a class.

    Labels are the classes 0 to C - 1. The K vectors of a class stand one after the other.

    Args:
        num_classes: C, at least 1.
        embedding_size: E, the dimension D of the embeddings, at least 1.
        centers_per_class: K, at least 1.
        weight_init: how the proxies are drawn at first; if None, what the loss names as its default.
        weight_regularizer: a penalty on the proxies, added to the loss as `weight_reg_loss`.
        weight_reg_weight: the factor of that penalty.
    """

    compared_with = "own rows"

    default_weight_init: ClassVar[WeightInit] = "normal"

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        centers_per_class: int = 1,
        weight_init: WeightInit | None = None,
        weight_regularizer: Regularizer | None = None,
        weight_reg_weight: float = 1.0,
        **slots: Unpack[UnmatchedLossSlots],
    ) -> None:
        super().__init__(**slots)
        self.num_classes = num_classes
        self.embedding_size = embedding_size
        self.centers_per_class = centers_per_class
        self.weight_init = self.default_weight_init if weight_init is None else weight_init
        self.weight_regularizer = weight_regularizer
        self.weight_reg_weight = weight_reg_weight
        self.proxies = nn.Parameter(torch.empty(num_classes * centers_per_class, embedding_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the proxies anew."""
        INITS[self.weight_init](self.proxies)

    def classes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The proxies in the type of the embeddings, and their labels, after checking the batch against them.

        Raises:
            InputError: another embedding size, a separate reference set, or labels that are no classes.
        """
        labels = batch.anchor_labels
        self._check_size(batch.anchors)
        if batch.references is not batch.anchors:
            raise InputError(f"{type(self).__name__} compares embeddings with its proxies and takes no ref_embeddings")
        if labels is None:
            raise InputError(f"{type(self).__name__} needs labels: the classes 0 to {self.num_classes - 1}")
        check_classes(labels, self.num_classes, type(self).__name__)
        classes = torch.arange(len(self.proxies), device=batch.anchors.device)
        classes = classes if self.centers_per_class == 1 else classes // self.centers_per_class
        return self.proxies.to(batch.anchors.dtype), classes

    def _check_size(self, embeddings: Tensor) -> None:
        size = embeddings.shape[1]
        if size != self.embedding_size:
            raise InputError(
                f"{type(self).__name__} has embedding_size {self.embedding_size}; the embeddings have {size}"
            )

    def logits(self, embeddings: Tensor, *, part: str | int | None = None) -> Tensor:
        """What the loss puts into its softmax, without margin, `[N, C]`; of one without a softmax the similarities.

        Args:
            embeddings: `[N, E]`.
            part: None.
        """
        if part is not None:
            return super().logits(embeddings, part=part)
        anchors = Batch.of(embeddings).anchors
        with full_precision(anchors.device.type):
            self._check_size(anchors)
            return self.class_logits(Batch(anchors, self.vectors(self.proxies.to(anchors.dtype))))

    def class_logits(self, batch: Batch) -> Tensor:
        """The logits of a batch to the proxies, its references, `[A, C]`: the similarities to them."""
        return self.distance.closeness(self.distance.between(batch))

    def vectors(self, proxies: Tensor) -> Tensor:
        """What is made of each proxy once, whatever the distance makes of it."""
        return proxies

    def batch_terms(self, batch: Batch) -> Terms:
        """The weighted penalty on the proxies, if there is a regularizer."""
        if self.weight_regularizer is None:
            return {}
        return {"weight_reg_loss": penalty(self.weight_regularizer, self.proxies, self.weight_reg_weight)}

    def effective_arguments(self) -> dict[str, Any]:
        """The distance, reducer and initialisation in use."""
        return super().effective_arguments() | {"weight_init": self.weight_init}
