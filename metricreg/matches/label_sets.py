"""Sets of labels as rows of zeros and ones, or as single labels, and how many labels two of them share."""

from __future__ import annotations

import torch
from torch import Tensor

from metricreg.errors import InputError


def check_label_sets(labels: Tensor, owner: str) -> None:
    """Refuse `[N, L]` that is not of zeros and ones; on a GPU or compiled without waiting, by an assertion.

    Args:
        labels: bool or integers.
        owner: who looks at them, for errors.

    Raises:
        InputError: another value.
    """
    if labels.ndim == 1 or labels.dtype is torch.bool or not labels.numel():
        return
    low, high = labels.aminmax()
    message = f"{owner} compares sets of labels: rows of 0 and 1, whether sample n has label l"
    if labels.device.type == "cuda" or torch.compiler.is_compiling():
        torch._assert_async((low >= 0) & (high <= 1), message)
    elif labels.device.type == "cpu" and (int(low) < 0 or int(high) > 1):
        raise InputError(f"{message}; found {int(low)} to {int(high)}")


def shared(labels: Tensor, ref_labels: Tensor) -> Tensor:
    """How many labels each of `[A, L]` and each of `[M, L]` have in common, float32 `[A, M]`; or of `[A]` and `[M]`."""
    if labels.ndim == 1:
        return (labels[:, None] == ref_labels[None, :]).float()
    return labels.float() @ ref_labels.float().mT


def jaccard_similarity(labels: Tensor, ref_labels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Labels in common over labels in either, of `[A, L]` and `[M, L]`: `[A, M]`, 0 to 1; 1 of two empty sets."""
    common = shared(labels, ref_labels).to(dtype)
    if labels.ndim == 1:
        return common
    either = labels.sum(1)[:, None] + ref_labels.sum(1)[None, :] - common
    return torch.where(either > 0, common / either, 1.0)
