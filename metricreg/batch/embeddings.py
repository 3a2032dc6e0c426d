"""Embeddings, and rows that stand beside them: read from a caller, or checked where a loss hands them over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from metricreg.errors import InputError, MetricregError

_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def read_embeddings(name: str, value: Any) -> Tensor:
    """What a caller hands in as embeddings `[N, D]`; half precision becomes float32.

    Args:
        name: what they are called, for errors.
        value: a dense floating-point tensor.

    Raises:
        InputError: another type or shape.
    """
    if not isinstance(value, Tensor):
        raise InputError(f"{name} must be a torch tensor [N, D]; got {type(value).__name__}")
    if value.is_nested or value.layout is not torch.strided or value.dtype not in _FLOATS:
        kind = "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        raise InputError(
            f"{name} must be [N, D] of float64, float32, bfloat16 or float16, dense; got {kind} of {value.dtype}"
        )
    if value.ndim != 2:
        raise InputError(f"{name} must be [N, D] floating point; got shape {tuple(value.shape)} of {value.dtype}")
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def together(anchors: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Anchors `[A, D]` and a separate set of references `[M, D]` in the wider of their types.

    Raises:
        InputError: other dimensions, or devices.
    """
    if references.shape[1] != anchors.shape[1] or references.device != anchors.device:
        raise InputError(
            f"embeddings are {tuple(anchors.shape)} on {anchors.device} and ref_embeddings "
            f"{tuple(references.shape)} on {references.device}; they need one dimension and one device"
        )
    dtype = torch.promote_types(anchors.dtype, references.dtype)
    return anchors.to(dtype), references.to(dtype)


def not_finite(anchors: Tensor, references: Tensor) -> Tensor:
    """NaN where an entry of either is not finite, else 0."""
    each = (anchors,) if references is anchors else (anchors, references)
    found = None
    for low, high in (t.detach().aminmax() for t in each if t.numel()):
        mine = (low - low).add_(high, alpha=0.0)  # infinity less itself is NaN, and so is 0 times infinity
        found = mine if found is None else found + mine
    return anchors.new_zeros(()) if found is None else found


def check_tensors(changes: Mapping[str, Any], anchors: int) -> None:
    """Refuse in the `row` and `whole` of a batch what is no tensor, and in `row` what has not a row an anchor.

    Raises:
        MetricregError: what was given, and what is expected.
    """
    for key in ("row", "whole"):
        for name, value in changes.get(key, {}).items():
            rows = value.shape[:1] if isinstance(value, Tensor) else None
            if rows is None or (key == "row" and rows != (anchors,)):
                wanted = f"a tensor [{anchors}, ...], a row an anchor" if key == "row" else "a tensor"
                given = type(value).__name__ if rows is None else f"a tensor {list(value.shape)}"
                raise MetricregError(f"{key}['{name}'] of a batch is {wanted}; got {given}")


def check_rows(anchors: Tensor, given: Tensor | None, rows: Tensor, labels: Tensor) -> None:
    """Refuse rows of a loss's own that do not fit a batch.

    Args:
        anchors: `[A, D]`.
        given: the labels of the anchors, `[A]` or `[A, L]`.
        rows: `[M, D]`.
        labels: `[M]` or `[M, L]`.

    Raises:
        InputError: embeddings of another size, or labels of another shape.
        MetricregError: not a label a row.
    """
    if rows.ndim != 2 or rows.shape[1] != anchors.shape[1]:
        raise InputError(
            f"this objective compares embeddings with rows of its own, {list(rows.shape)}; the embeddings "
            f"are {list(anchors.shape)}"
        )
    if len(labels) != len(rows):
        raise MetricregError(f"against got {len(labels)} labels for {len(rows)} rows; a label a row is needed")
    if given is not None and given.shape[1:] != labels.shape[1:]:
        raise InputError(
            f"this objective compares samples with rows of its own, whose labels are {list(labels.shape)}; the "
            f"labels of the samples are {list(given.shape)}, which need as many axes and, as sets, as many labels"
        )
