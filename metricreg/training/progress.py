"""What is seen while training: a bar on a terminal, about ten lines anywhere else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from metricreg.training.module import EmbeddingModule

LINES = 10


class TrainingProgress(pl.Callback):
    """Shows epoch and mean loss.

    Args:
        report: takes a line.
        log_every: epochs between lines; None makes about ten of them.
        console: where the bar is drawn, if it is a terminal.
    """

    def __init__(self, report: Callable[[str], None], log_every: int | None, console: Console) -> None:
        self._report = report
        self._log_every = log_every
        self._bar: Progress | None = None
        if console.is_terminal:
            text = TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}  loss {task.fields[loss]:.4f}")
            self._bar = Progress(
                text, BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the bar, as far along as a resumed run is."""
        if self._bar:
            epochs, steps = trainer.max_epochs or 0, int(trainer.estimated_stepping_batches)
            fields: dict[str, Any] = {"epochs": epochs, "epoch": trainer.current_epoch, "loss": 0.0}
            self._task = self._bar.add_task("training", total=steps, completed=trainer.global_step, **fields)
            self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Move the bar."""
        assert isinstance(pl_module, EmbeddingModule)
        if self._bar:
            epoch, loss = trainer.current_epoch + 1, pl_module.mean_loss
            self._bar.update(self._task, completed=trainer.global_step, epoch=epoch, loss=loss)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a line, if it is time for one."""
        assert isinstance(pl_module, EmbeddingModule)
        epochs, epoch = trainer.max_epochs or 0, trainer.current_epoch + 1
        every = self._log_every or math.ceil(epochs / LINES)
        if not self._bar and (epoch % every == 0 or epoch == epochs):
            self._report(f"epoch {epoch:>{len(str(epochs))}}/{epochs}  loss {pl_module.mean_loss:.4f}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Take the bar away, so that the message stands on a line of its own."""
        if self._bar:
            self._bar.stop()
