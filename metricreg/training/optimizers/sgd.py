"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from metricreg.training.optimizers.optimizer import Optimizer, Rate

if TYPE_CHECKING:
    from torch.optim import Optimizer as TorchOptimizer


class SgdOptimizer(Optimizer):
    """Stochastic gradient descent.

    Args:
        momentum: share of the last step that is kept; in [0, 1).
    """

    name: Literal["sgd"] = "sgd"
    lr: Rate = 1e-2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9

    def _over(self, groups: Iterable[dict[str, Any]]) -> TorchOptimizer:
        from torch import optim

        return optim.SGD(groups, lr=self.lr, momentum=self.momentum)
