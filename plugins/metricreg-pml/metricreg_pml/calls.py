"""A batch as the losses of pytorch-metric-learning are called with it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from metricreg import Batch, InputError, Scalar, Term
from metricreg.batch.labels import check_classes
from metricreg_pml.arguments import VECTORS, centers_of, vectors_of
from metricreg_pml.native import NativeLoss
from metricreg_pml.terms import terms_of

Arguments = tuple[Any, ...]


def arguments(pml: Any, batch: Batch) -> Arguments:
    """What a loss is called with: embeddings, labels and tuples; and, where there are other rows, those."""
    make = {"CrossBatchMemory": _memory, "MultipleLosses": _multiple, "SelfSupervisedLoss": _two_views}
    return make.get(type(pml).__name__, _plain)(pml, batch)


def _plain(pml: Any, batch: Batch) -> Arguments:
    x, labels, tuples = batch.anchors, batch.anchor_labels, _tuples(batch)
    name = type(pml).__name__
    _check_classes(pml, batch)
    if name == "ManifoldLoss":  # which takes for tuples what says which proxy is whose
        if not is_alone(batch):
            raise InputError("ManifoldLoss compares embeddings with its proxies, and takes no ref_embeddings")
        return x, None, labels
    if name == "VICRegLoss":  # which refuses labels
        if batch.is_self_comparison or len(x) != len(batch.references):
            raise InputError("VICRegLoss needs ref_embeddings, another view of each row of the embeddings")
        labels = None
    if labels is not None and labels.ndim != 1:
        if tuples is None:
            raise InputError(f"{name} of pytorch-metric-learning takes one label a sample; got {list(labels.shape)}")
        labels = None  # the tuples say what belongs together
    if is_alone(batch):
        return x, labels, tuples
    return x, labels, tuples, batch.references, None if labels is None else reference_labels(batch)


def is_alone(batch: Batch) -> bool:
    """Whether a batch is compared with itself, and nothing else is said of it."""
    return batch.is_self_comparison and batch.reference_labels is batch.anchor_labels


def reference_labels(batch: Batch) -> Tensor | None:
    """Labels of other rows, in a tensor of their own: the same one would mean one batch."""
    labels = batch.reference_labels
    return labels.clone() if labels is not None and labels is batch.anchor_labels else labels


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


def _check_classes(pml: Any, batch: Batch) -> None:
    """Refuse labels that are no classes, which would be taken for other classes, counted from the last."""
    name = type(pml).__name__
    if name not in VECTORS or batch.anchor_labels is None:
        return
    count = len(vectors_of(pml))
    check_classes(batch.anchor_labels, count // centers_of(pml), name)


def _memory(pml: Any, batch: Batch) -> Arguments:
    """References enter the memory in the place of the batch."""
    x, labels = batch.anchors, batch.anchor_labels
    if labels is None or batch.reference_labels is None:
        raise InputError("PMLCrossBatchMemory needs labels, which it keeps along with the embeddings")
    if x.shape[1] != pml.embedding_size:
        raise InputError(f"CrossBatchMemory has embedding_size {pml.embedding_size}; the embeddings have {x.shape[1]}")
    if len(batch.references) > pml.memory_size:
        raise InputError(f"{len(batch.references)} rows do not fit in a memory_size of {pml.memory_size}")
    if is_alone(batch):
        return x, labels, _tuples(batch)
    enters = torch.arange(len(x) + len(batch.references), device=x.device) >= len(x)
    return torch.cat([x, batch.references]), torch.cat([labels, batch.reference_labels]), None, enters


def _multiple(pml: Any, batch: Batch) -> Arguments:
    if not batch.is_self_comparison:
        raise InputError("PMLMultipleLosses takes no ref_embeddings; `multiple` does, with pml/ losses in it")
    for loss in pml.losses.children():
        _check_classes(loss, batch)
    return batch.anchors, batch.anchor_labels, _tuples(batch)


def _two_views(pml: Any, batch: Batch) -> Arguments:
    if batch.anchor_labels is not None or batch.selection is not None:
        raise InputError("PMLSelfSupervisedLoss makes its own labels; leave labels, tuples and a miner out")
    if batch.is_self_comparison or len(batch) != len(batch.references):
        raise InputError("PMLSelfSupervisedLoss needs ref_embeddings, another view of each row of the embeddings")
    return batch.anchors, batch.references


# -- what it is reduced from ------------------------------------------------------------------------------------------


def terms_of_call(pml: Any, *given: Any, **named: Any) -> dict[str, Term | Scalar]:
    """The terms of a loss that is called with some arguments; of one made of losses, those of each that it calls."""
    if not isinstance(pml, NativeLoss) and not hasattr(pml, "compute_loss"):
        return {
            f"{prefix}{name}": term
            for prefix, loss, args, keywords in _inner_calls(pml, *given, **named)
            for name, term in terms_of_call(loss, *args, **keywords).items()
        }
    x, labels, tuples, y, of_y = _bound(*given, **named)
    if isinstance(pml, NativeLoss):
        return pml.native.all_terms(Batch.of(x, labels, tuples=tuples))
    losses = pml.compute_loss(x, labels, tuples, *((x, labels) if y is None else (y, of_y)))
    pml.add_embedding_regularization_to_loss_dict(losses, x)
    return terms_of(losses, x, labels)


def _bound(
    embeddings: Any, labels: Any = None, indices_tuple: Any = None, ref_emb: Any = None, ref_labels: Any = None
) -> tuple[Any, ...]:
    return embeddings, labels, indices_tuple, ref_emb, ref_labels


def _inner_calls(pml: Any, *given: Any, **named: Any) -> list[tuple[str, Any, Arguments, dict[str, Any]]]:
    """What a loss made of losses calls them with: a prefix for their terms, the loss, and the arguments."""
    found: list[tuple[str, Any, Arguments, dict[str, Any]]] = []
    if hasattr(pml, "losses"):
        losses = {f"{key}/": loss for key, loss in pml.losses.named_children()}
    else:
        losses = {"": pml.loss}

    def note(prefix: str, loss: Any, args: Arguments, keywords: dict[str, Any]) -> None:
        found.append((prefix, loss, args, keywords))

    hooks = [loss.register_forward_pre_hook(partial(note, prefix), with_kwargs=True) for prefix, loss in losses.items()]
    try:
        pml(*given, **named)
    finally:
        for hook in hooks:
            hook.remove()
    return found
