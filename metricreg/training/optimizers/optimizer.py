"""What every optimizer has in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from metricreg.training.section import Section

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer as TorchOptimizer

Rate = Annotated[float, Field(gt=0)]


class Optimizer(Section):
    """The `optimizer` section.

    Args:
        lr: learning rate of the encoder.
        objective_lr: learning rate of the pipeline's own parameters (proxies); None is `lr`.
        weight_decay: of the encoder's weights; the pipeline's own parameters are not decayed.
        schedule: `cosine` takes the learning rates to 0 along half a cosine over all steps, `none` keeps them.
    """

    lr: Rate = 1e-3
    objective_lr: Rate | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["none", "cosine"] = "none"

    def build(self, encoder: nn.Module, objective: nn.Module) -> TorchOptimizer:
        """An optimizer over both, each with its own learning rate."""
        groups: list[dict[str, Any]] = [{"params": list(encoder.parameters()), "weight_decay": self.weight_decay}]
        own = list(objective.parameters())
        if own:
            rate = self.lr if self.objective_lr is None else self.objective_lr
            groups.append({"params": own, "lr": rate, "weight_decay": 0.0})
        return self._over(groups)

    @abstractmethod
    def _over(self, groups: Iterable[dict[str, Any]]) -> TorchOptimizer:
        """The torch optimizer over parameter groups."""
