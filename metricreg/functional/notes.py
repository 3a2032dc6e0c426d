"""What is known of a tensor because of how it was made, for as long as nobody changes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def note(tensor: Tensor, what: Any) -> None:
    """Keep with a tensor what is known of it. No view or copy of it has that."""
    if not (torch.compiler.is_compiling() or tensor.is_inference()):
        tensor._metricreg_note = tensor._version, what  # type: ignore[attr-defined]


def noted(tensor: Tensor) -> Any:
    """What was kept with a tensor; None if nothing was, or it was changed since."""
    if torch.compiler.is_compiling() or tensor.is_inference():
        return None
    version, what = getattr(tensor, "_metricreg_note", (None, None))
    return what if version == tensor._version else None
