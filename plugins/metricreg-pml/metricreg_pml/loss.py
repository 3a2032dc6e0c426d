"""Losses of pytorch-metric-learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from metricreg import Batch, Execution, InputError, Scalar, Term, WrapperLoss
from metricreg_pml.calls import arguments, terms_of_call
from metricreg_pml.kept import keep_state, state_of_a_step
from metricreg_pml.terms import terms_of
from metricreg_pml.theirs import called, constructed

ComparedWith = Literal["references", "paired references", "own rows", "own labels"]


class PMLLoss(WrapperLoss):
    """A loss that pytorch-metric-learning computes, on the whole batch at once.

    Args:
        arguments: those of its class.
    """

    theirs: ClassVar[type[nn.Module]]

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.pml: Any = constructed(type(self).theirs, arguments)
        self.compared_with = _compared_with(self.pml)  # type: ignore[misc] # a mark of the class, there
        keep_state(self.pml)

    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """What pytorch-metric-learning makes of the batch, whatever the plan."""
        x = batch.anchors
        if not len(x):
            return x.sum() * 0.0  # of which it makes means of nothing
        try:
            with state_of_a_step(self.pml, self.training), called(self.pml, x):
                found = self.pml(*arguments(self.pml, batch))
        except InputError:
            if not batch.nan_if_not_finite().isnan():
                raise
            return x.sum() * torch.nan  # where its histograms have no bin for a NaN
        if isinstance(found, dict):  # of do_nothing, which makes terms of a loss
            return cast(Tensor, terms_of(found, x, batch.anchor_labels))
        value: Tensor = found.reshape(()) + batch.nan_if_not_finite()
        return value

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """What the loss is reduced from."""
        with state_of_a_step(self.pml, training=False), called(self.pml, batch.anchors):
            return terms_of_call(self.pml, *arguments(self.pml, batch))

    def logits(self, embeddings: Tensor, *, part: str | int | None = None) -> Tensor:
        """What `get_logits` gives, `[N, C]`, with its sign turned where that is larger for farther.

        Args:
            embeddings: `[N, D]`.
            part: None.
        """
        if part is not None or not hasattr(self.pml, "get_logits"):
            return super().logits(embeddings, part=part)
        with called(self.pml, embeddings):
            found: Tensor = self.pml.get_logits(embeddings)
        turned = type(self.pml).__name__ in ("ProxyAnchorLoss", "ProxyNCALoss") and not self.pml.distance.is_inverted
        return -found if turned else found


def _compared_with(pml: Any) -> ComparedWith:
    """What a loss around it, such as a memory, goes by."""
    name = type(pml).__name__
    if name == "SelfSupervisedLoss":
        return "own labels"
    if name == "VICRegLoss":
        return "paired references"
    compute: Callable[..., Any] | None = getattr(type(pml), "compute_loss", None)
    refuses = compute is not None and "ref_not_supported" in compute.__code__.co_names
    return "own rows" if refuses or name in ("CrossBatchMemory", "MultipleLosses") else "references"
