"""Losses of pytorch-metric-learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, cast

import torch
from pytorch_metric_learning.losses import CrossBatchMemory
from torch import Tensor, nn

from metricreg import Batch, Execution, InputError, Scalar, Term, WrapperLoss
from metricreg_pml.terms import terms_of
from metricreg_pml.theirs import called, constructed, is_alone, reference_labels

ComparedWith = Literal["references", "paired references", "own rows", "own labels"]


class PMLLoss(WrapperLoss):
    """A loss that pytorch-metric-learning computes, on the whole batch at once.

    Args:
        arguments: those of its class.
    """

    theirs: ClassVar[type[nn.Module]]

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        cls = type(self).theirs
        self.pml: Any = constructed(cls, arguments)
        self.compared_with = _compared_with(cls.__name__, self.pml)  # type: ignore[misc] # a mark of the class, there
        for part in self.pml.modules():
            _keep_state(part)

    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """What pytorch-metric-learning makes of the batch, whatever the plan."""
        for part in self.pml.modules():
            _before(part)
        with called(self.pml, batch.anchors):
            found = CALLS.get(type(self).theirs.__name__, _plain)(self.pml, batch)
        for part in self.pml.modules():
            _after(part)
        if isinstance(found, dict):  # of do_nothing, which makes terms of a loss
            return cast(Tensor, terms_of(found, batch.anchors, batch.anchor_labels))
        value: Tensor = found.reshape(()) + batch.nan_if_not_finite()
        return value

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """What the loss is reduced from."""
        if not hasattr(self.pml, "compute_loss"):
            raise InputError(f"{type(self).__name__} is made of losses, whose terms pytorch-metric-learning keeps")
        with called(self.pml, batch.anchors):
            x, labels, tuples, *others = _arguments(self.pml, batch)
            losses = self.pml.compute_loss(x, labels, tuples, *(others or (x, labels)))
            self.pml.add_embedding_regularization_to_loss_dict(losses, x)
        return terms_of(losses, batch.anchors, batch.anchor_labels)

    def logits(self, embeddings: Tensor, *, part: str | None = None) -> Tensor:
        """What `get_logits` gives, `[N, C]`, with its sign turned where that is larger for farther.

        Args:
            embeddings: `[N, D]`.
            part: None.
        """
        if part is not None or not hasattr(self.pml, "get_logits"):
            return super().logits(embeddings, part=part)
        with called(self.pml, embeddings):
            found: Tensor = self.pml.get_logits(embeddings)
        turned = type(self).theirs.__name__ in ("ProxyAnchorLoss", "ProxyNCALoss") and not self.pml.distance.is_inverted
        return -found if turned else found


# -- how it is called -------------------------------------------------------------------------------------------------


def _plain(pml: Any, batch: Batch) -> Any:
    return pml(*_arguments(pml, batch))


def _arguments(pml: Any, batch: Batch) -> list[Any]:
    """Embeddings, labels and tuples; and the references and their labels, where those are others."""
    x, labels, tuples = batch.anchors, batch.anchor_labels, _tuples(batch)
    name = type(pml).__name__
    if name == "ManifoldLoss":  # which takes for tuples what says which proxy is whose
        return [x, None, labels]
    if name == "VICRegLoss":  # which refuses labels
        labels = None
    if labels is not None and labels.ndim != 1:
        if tuples is None:
            raise InputError(f"{name} of pytorch-metric-learning takes one label a sample; got {list(labels.shape)}")
        labels = None  # the tuples say what belongs together
    if is_alone(batch):
        return [x, labels, tuples]
    return [x, labels, tuples, batch.references, None if labels is None else reference_labels(batch)]


def _tuples(batch: Batch) -> Any:
    """The pairs or triplets that are meant, as index lists; None for all of which labels say that they belong together.

    Pairs are listed where equal labels do not say all: where there is a match, and where the anchors are among the
    references.
    """
    if batch.selection is not None:
        return batch.selection.columns()
    if batch.match is None and (batch.self_index is None or is_alone(batch)):
        return None
    return (*batch.positives.nonzero(as_tuple=True), *batch.negatives.nonzero(as_tuple=True))


def _memory(pml: Any, batch: Batch) -> Any:
    """References enter the memory in the place of the batch."""
    x, labels = batch.anchors, batch.anchor_labels
    if batch.is_self_comparison:
        return pml(x, labels, _tuples(batch))
    if labels is None or batch.reference_labels is None:
        raise InputError("PMLCrossBatchMemory needs labels and ref_labels")
    enters = torch.arange(len(x) + len(batch.references), device=x.device) >= len(x)
    both, of_both = torch.cat([x, batch.references]), torch.cat([labels, batch.reference_labels])
    return pml(both, of_both, enqueue_mask=enters)


def _two_views(pml: Any, batch: Batch) -> Any:
    if batch.anchor_labels is not None or batch.selection is not None:
        raise InputError("PMLSelfSupervisedLoss makes its own labels; leave labels, tuples and a miner out")
    if batch.is_self_comparison:
        raise InputError("PMLSelfSupervisedLoss needs ref_embeddings, another view of each row of the embeddings")
    return pml(batch.anchors, batch.references)


def _multiple(pml: Any, batch: Batch) -> Any:
    if not batch.is_self_comparison:
        raise InputError("PMLMultipleLosses takes no ref_embeddings; `multiple` does, with pml/ losses in it")
    return pml(batch.anchors, batch.anchor_labels, _tuples(batch))


CALLS: dict[str, Callable[[Any, Batch], Any]] = {
    "CrossBatchMemory": _memory,
    "MultipleLosses": _multiple,
    "SelfSupervisedLoss": _two_views,
}


def _compared_with(name: str, pml: nn.Module) -> ComparedWith:
    """What a loss around it, such as a memory, goes by."""
    if name == "SelfSupervisedLoss":
        return "own labels"
    if name == "VICRegLoss":
        return "paired references"
    has_rows = hasattr(pml, "compute_loss") and any(parameter.ndim == 2 for parameter in pml.parameters(recurse=False))
    return "own rows" if has_rows or name in ("CrossBatchMemory", "MultipleLosses") else "references"


# -- what changes from step to step -----------------------------------------------------------------------------------


def _keep_state(part: Any) -> None:
    """Make a part of the state what pytorch-metric-learning leaves out of it."""
    if isinstance(part, CrossBatchMemory) and "position" not in dict(part.named_buffers(recurse=False)):
        part.register_buffer("position", torch.tensor([part.queue_idx, int(part.has_been_filled)]))
    if isinstance(vars(part).get("hist_"), Tensor):  # of DynamicSoftMarginLoss
        part.register_buffer("hist_", vars(part).pop("hist_"))


def _before(part: Any) -> None:
    if isinstance(part, CrossBatchMemory):
        index, filled = part.position.tolist()
        part.queue_idx, part.has_been_filled = index, bool(filled)


def _after(part: Any) -> None:
    if isinstance(part, CrossBatchMemory):
        part.position.copy_(torch.tensor([part.queue_idx, int(part.has_been_filled)]))
    elif isinstance(getattr(part, "hist_", None), Tensor):
        part.hist_ = part.hist_.detach()  # which otherwise holds the graph of this step
