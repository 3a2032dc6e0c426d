"""What Lightning trains."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from metricreg.errors import ExperimentError

if TYPE_CHECKING:
    from lightning.pytorch.utilities.types import OptimizerLRScheduler

    from metricreg.training.optimizers.optimizer import Optimizer

HISTORY = "metricreg_history"


class EmbeddingModule(pl.LightningModule):
    """An encoder and the objective it is trained by.

    Args:
        encoder: rows `[N, ...]` to embeddings `[N, D]`.
        pipeline: embeddings `[N, D]` and labels `[N]` to a loss, `[]`.
        optimizer: the section that makes the optimizer.
        steps: of the whole run; the length of the schedule.
        seed: what an epoch draws at random (dropout, a sampling loss) is a function of (seed, epoch).
    """

    def __init__(self, encoder: nn.Module, pipeline: nn.Module, optimizer: Optimizer, steps: int, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.pipeline = pipeline
        self.history: list[tuple[float, float, float]] = []
        """Mean, lowest and highest loss of each finished epoch."""
        self._losses: list[float] = []
        self._section = optimizer
        self._steps = steps
        self._seed = seed

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch of rows `[N, ...]` and labels `[N]`; raises `ExperimentError` when it is not finite."""
        if batch_idx == 0:
            self._begin_epoch()
        rows, labels = batch
        loss: Tensor = self.pipeline(self.encoder(rows), labels)
        value = loss.item()
        if not np.isfinite(value):
            raise ExperimentError(
                f"the loss became {value} at step {self.global_step + 1} (epoch {self.current_epoch + 1}, batch "
                f"{batch_idx + 1}); lower optimizer.lr, set trainer.gradient_clip, or look at the scale of the features"
            )
        self._losses.append(value)
        return loss

    @property
    def mean_loss(self) -> float:
        """Mean loss of the epoch so far."""
        return sum(self._losses) / max(len(self._losses), 1)

    def _begin_epoch(self) -> None:
        self._losses = []
        state = int(np.random.SeedSequence((self._seed, self.current_epoch)).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)

    def on_train_epoch_end(self) -> None:
        """Close the epoch in the history."""
        self.history.append((self.mean_loss, min(self._losses), max(self._losses)))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the loss curve along."""
        checkpoint[HISTORY] = [list(epoch) for epoch in self.history]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Continue the loss curve."""
        self.history = [(mean, low, high) for mean, low, high in checkpoint[HISTORY]]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """See the `optimizer` section."""
        optimizer = self._section.build(self.encoder, self.pipeline)
        if self._section.schedule == "none":
            return optimizer
        schedule = CosineAnnealingLR(optimizer, self._steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
