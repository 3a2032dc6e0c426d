"""In which precision things are computed: at least in float32, whatever they are given in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def full_precision(device: str) -> AbstractContextManager[Any]:
    """No autocast. A context that changes nothing is left out: it takes as long as several small operations."""
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32, and all else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
