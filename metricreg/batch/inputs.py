"""What a caller or a loss hands in: read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor
from typing_extensions import ParamSpec

from metricreg.batch.labels import check_label_shapes, read_labels
from metricreg.batch.tuples import read_tuples
from metricreg.errors import InputError, MetricregError
from metricreg.functional.precision import at_least_float32

P = ParamSpec("P")
R = TypeVar("R")
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def read_inputs(embeddings: Any, labels: Any, tuples: Any, ref_embeddings: Any, ref_labels: Any) -> dict[str, Any]:
    """The fields of a `Batch`; the arguments are those of `Batch.of`.

    Raises:
        InputError: shapes, types or lengths that do not fit together.
    """
    anchors = read_embeddings("embeddings", embeddings)
    anchor_labels = read_labels("labels", labels, "embeddings", anchors)
    if ref_embeddings is None or ref_embeddings is embeddings:
        if ref_embeddings is None and ref_labels is not None:
            raise InputError("ref_labels were given without ref_embeddings")
        references, reference_labels = anchors, anchor_labels
        if ref_labels is not None:
            reference_labels = read_labels("ref_labels", ref_labels, "ref_embeddings", references)
        self_index: Tensor | None = torch.arange(len(anchors), device=anchors.device)
    else:
        references = read_embeddings("ref_embeddings", ref_embeddings)
        reference_labels = read_labels("ref_labels", ref_labels, "ref_embeddings", references)
        self_index = None
        anchors, references = promote_dtypes(anchors, references)
        if tuples is None and (anchor_labels is None) != (reference_labels is None):
            raise InputError("give both labels and ref_labels, or neither")
    check_label_shapes(anchor_labels, reference_labels)
    selection = None if tuples is None else read_tuples(tuples, len(anchors), len(references), anchors.device)
    return {
        "anchors": anchors,
        "references": references,
        "anchor_labels": anchor_labels,
        "reference_labels": reference_labels,
        "self_index": self_index,
        "selection": selection,
    }


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
    return at_least_float32(value)


OTHER_NAMES = {
    "emb": "embeddings",
    "indices_tuple": "tuples",
    "query_emb": "embeddings",
    "ref_emb": "ref_embeddings",
    "reference_embeddings": "ref_embeddings",
}
BY_POSITION = (
    "an objective takes embeddings and labels by position; pass what a miner found as tuples=, and a reference set as "
    "ref_embeddings= and ref_labels="
)
NO_MATRIX = "'mat' is not taken: a loss and a miner make their distances themselves, by their 'distance'"


def check_call(
    args: Sequence[Any],
    keywords: Mapping[str, Any],
    most: int = 2,
    by_position: str = BY_POSITION,
    names: Mapping[str, str] = OTHER_NAMES,
) -> None:
    """Say what is called otherwise here, where Python would only say that an argument is unexpected.

    Args:
        args: what was given by position.
        keywords: what was given by name.
        most: how many may be given by position.
        by_position: what to do with the others.
        names: of arguments in another library, and what each is called here.

    Raises:
        TypeError: more by position, or a keyword of another library.
    """
    if len(args) > most:
        raise TypeError(by_position)
    for name in keywords:
        if name in names:
            raise TypeError(f"'{name}' is called '{names[name]}' here")
        if name == "mat":
            raise TypeError(NO_MATRIX)


def answering(call: Callable[P, R]) -> Callable[P, R]:
    """A method that is called like an objective, which says what is called otherwise here."""

    @wraps(call)
    def checked(*args: P.args, **keywords: P.kwargs) -> R:
        check_call(args[1:], keywords)
        return call(*args, **keywords)

    return checked


def promote_dtypes(anchors: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
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


def nan_if_not_finite(anchors: Tensor, references: Tensor) -> Tensor:
    """NaN where an entry of either is not finite, else 0."""
    each = (anchors,) if references is anchors else (anchors, references)
    found = None
    for low, high in (t.detach().aminmax() for t in each if t.numel()):
        mine = (low - low).add_(high, alpha=0.0)  # infinity less itself is NaN, and so is 0 times infinity
        found = mine if found is None else found + mine
    return anchors.new_zeros(()) if found is None else found


def check_tensors(changes: Mapping[str, Any], anchors: int) -> None:
    """Refuse what is no tensor in the `per_anchor` and `shared` of a batch, and what has not a row an anchor.

    Raises:
        MetricregError: what was given, and what is expected.
    """
    for key in ("per_anchor", "shared"):
        for name, value in changes.get(key, {}).items():
            rows = value.shape[:1] if isinstance(value, Tensor) else None
            if rows is None or (key == "per_anchor" and rows != (anchors,)):
                wanted = f"a tensor [{anchors}, ...], a row an anchor" if key == "per_anchor" else "a tensor"
                given = type(value).__name__ if rows is None else f"a tensor {list(value.shape)}"
                raise MetricregError(f"{key}['{name}'] of a batch is {wanted}; got {given}")


def check_proxies(anchors: Tensor, given: Tensor | None, rows: Tensor, labels: Tensor) -> None:
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
