"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from metricreg.training.optimizers.optimizer import Optimizer

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class AdamOptimizer(Optimizer):
    """Adam, or AdamW, which decays weights apart from the gradient."""

    name: Literal["adam", "adamw"] = "adam"

    def _over(self, groups: Iterable[dict[str, Any]]) -> TorchOptimizer:
        from torch import optim

        return (optim.AdamW if self.name == "adamw" else optim.Adam)(groups, lr=self.lr)
