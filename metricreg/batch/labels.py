"""Labels of samples, one each or a set each: read, checked, and compared by a match."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from metricreg.errors import InputError, MetricregError

_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)


class Matching(Protocol):
    """What a batch asks of a match."""

    @property
    def is_equality(self) -> bool:
        """Whether it is the equality of labels."""

    def check(self, labels: Tensor) -> object:
        """Refuse labels that it cannot compare; nothing is returned."""

    def related(self, labels: Tensor, ref_labels: Tensor) -> tuple[Tensor, Tensor]:
        """Positives and negatives among all pairs, bool `[A, M]` each."""


def related(match: Matching, labels: Tensor, ref_labels: Tensor) -> tuple[Tensor, Tensor]:
    """What a match says are positives and negatives, bool `[A, M]` each.

    Raises:
        MetricregError: it says something else.
    """
    rows, columns, name = len(labels), len(ref_labels), type(match).__name__
    with torch.no_grad():  # a mask has no gradient, whatever parameters a match compares labels by
        found: Any = match.related(labels, ref_labels)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        given = f"{len(found)} of them" if isinstance(found, (tuple, list)) else _described(found)
        raise MetricregError(f"{name}.related returned {given}; expected two masks, positives and negatives")
    for mask in found:
        if not isinstance(mask, Tensor) or mask.dtype is not torch.bool or mask.shape != (rows, columns):
            raise MetricregError(
                f"{name} made {_described(mask)} of {list(labels.shape)} and {list(ref_labels.shape)}; expected "
                f"[{rows}, {columns}] of torch.bool, which references belong to which anchors"
            )
    positives, negatives = found
    _check_apart(positives, negatives, name)
    return positives, negatives


def _check_apart(positives: Tensor, negatives: Tensor, owner: str) -> None:
    """Refuse pairs that are both; on a GPU or compiled without waiting, by an assertion."""
    message = f"{owner} gives pairs that are both positive and negative; a pair is one of the two, or neither"
    if positives.device.type == "cuda" or torch.compiler.is_compiling():
        torch._assert_async(~(positives & negatives).any(), message)
    elif positives.device.type == "cpu" and bool((positives & negatives).any()):
        raise MetricregError(message)


def _described(value: Any) -> str:
    return f"{list(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def read_labels(name: str, value: Any, of: str, embeddings: Tensor) -> Tensor | None:
    """What a caller hands in as labels, on the device of the embeddings; None of None.

    Args:
        name: what they are called, for errors.
        value: `[N]` integers, or `[N, L]` integers or bool; a tensor, an array or a list.
        of: what they are labels of, for errors.
        embeddings: `[N, D]`.

    Raises:
        InputError: another type or shape.
    """
    if value is None:
        return None
    try:
        labels = torch.as_tensor(value, device=embeddings.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name} must be integers [N]; got {type(value).__name__}: {error}") from error
    if labels.numel() == 0 and len(embeddings) == 0 and labels.ndim != 2:
        return labels.reshape(0).long()
    if labels.is_floating_point() or labels.is_complex() or (labels.dtype is torch.bool and labels.ndim != 2):
        mend = "; another view of each sample, or a reference set, is given as ref_embeddings="
        raise InputError(f"{name} must be integers; got {labels.dtype}{mend if labels.ndim == 2 else ''}")
    if labels.ndim not in (1, 2) or len(labels) != len(embeddings):
        raise InputError(
            f"{name} must be [{len(embeddings)}], one for each row of {of}; or [{len(embeddings)}, L], a set for each; "
            f"got {tuple(labels.shape)}"
        )
    return labels.long() if labels.dtype in _UNSIGNED else labels  # which torch can hardly compute with


def check_classes(labels: Tensor, count: int, owner: str) -> None:
    """Refuse labels that are not the classes 0 to count - 1; on a GPU or compiled without waiting, by an assertion.

    Raises:
        InputError: a label that is no class, or sets of labels.
    """
    check_single(labels, owner)
    if not len(labels):
        return
    low, high = labels.aminmax()
    if labels.device.type == "cuda" or torch.compiler.is_compiling():
        torch._assert_async((low >= 0) & (high < count), f"{owner} has {count} classes, and there are other labels")
    elif labels.device.type == "cpu" and (int(low) < 0 or int(high) >= count):
        raise InputError(
            f"{owner} has {count} classes, so labels are 0 to {count - 1}; found {int(low)} to {int(high)}"
        )


def check_single(labels: Tensor, owner: str, instead: str = "Sets of labels are not for it") -> None:
    """Refuse labels `[N, L]` where one a sample is needed.

    Args:
        labels: `[N]` or `[N, L]`.
        owner: who needs them, for errors.
        instead: what to do with sets of labels, for errors.

    Raises:
        InputError: sets of labels.
    """
    if labels.ndim != 1:
        if labels.shape[1] == 1:
            raise InputError(
                f"{owner} takes one label a sample, [{len(labels)}]; got {list(labels.shape)}: give labels[:, 0]"
            )
        raise InputError(f"{owner} takes one label a sample, [{len(labels)}]; got {list(labels.shape)}. {instead}")


def check_label_shapes(labels: Tensor | None, ref_labels: Tensor | None) -> None:
    """Refuse labels of different shapes for anchors and references, where both have some.

    Raises:
        InputError: single labels here and sets there, or sets of another size.
    """
    if labels is not None and ref_labels is not None and labels.shape[1:] != ref_labels.shape[1:]:
        raise InputError(
            f"labels are {list(labels.shape)} and ref_labels {list(ref_labels.shape)}; they need the same number of "
            "axes and, as sets, of labels"
        )
