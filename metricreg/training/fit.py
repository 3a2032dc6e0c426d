"""The training itself, by Lightning."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from rich.console import Console
from torch.utils.data import DataLoader, TensorDataset

from metricreg.errors import ExperimentError
from metricreg.training.checkpoint import CheckpointEveryEpoch
from metricreg.training.module import EmbeddingModule
from metricreg.training.output import OutputFolder
from metricreg.training.preparation import Preparation
from metricreg.training.progress import TrainingProgress


class Fit:
    """A training run that has not started. Making one changes nothing on disk, and refuses hardware that is not there.

    Args:
        ready: what to train, on what.
        output: where checkpoints go.
        identity: of the experiment, for the checkpoint.
        report: takes progress lines.
        console: where a progress bar goes.
    """

    def __init__(
        self,
        ready: Preparation,
        output: OutputFolder,
        identity: dict[str, Any],
        report: Callable[[str], None],
        console: Console,
    ) -> None:
        plan = ready.experiment.trainer
        steps = plan.epochs * len(ready.sampler)
        self._output = output
        self._rows = TensorDataset(ready.train_rows, ready.train_labels)
        self._sampler = ready.sampler
        self._module = EmbeddingModule(ready.encoder, ready.pipeline, ready.experiment.optimizer, steps, plan.seed)
        try:
            self._trainer = pl.Trainer(
                max_epochs=plan.epochs,
                accelerator=plan.accelerator,
                devices=1,
                precision=plan.precision,
                gradient_clip_val=plan.gradient_clip,
                callbacks=[
                    TrainingProgress(report, plan.log_every, console),
                    CheckpointEveryEpoch(output, identity, ready.versions),
                ],
                default_root_dir=output.path,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except (MisconfigurationException, ValueError, RuntimeError) as error:
            raise ExperimentError(
                f"accelerator '{plan.accelerator}' with precision '{plan.precision}' cannot be used here: {error}"
            ) from error

        if plan.precision == "16-mixed" and self._trainer.strategy.root_device.type == "cpu":
            raise ExperimentError("precision '16-mixed' needs a GPU; on the CPU use 'bf16-mixed' or '32-true'")

    @property
    def device(self) -> str:
        """Where it trains, as torch calls it."""
        return str(self._trainer.strategy.root_device)

    def run(self, *, resume: bool) -> list[tuple[float, float, float]]:
        """Train; the weights end up in the preparation's encoder and pipeline, on the CPU.

        Args:
            resume: continue from the output folder's checkpoint.

        Returns:
            Mean, lowest and highest loss of each epoch, those before a resumption included.
        """
        # A batch is one list of rows: TensorDataset gathers it at once, instead of a row at a time.
        loader = DataLoader(self._rows, batch_size=None, sampler=self._sampler)
        with _interruptible() as was_interrupted:
            self._trainer.fit(self._module, loader, ckpt_path=str(self._output.checkpoint) if resume else None)
        if was_interrupted() or self._trainer.interrupted:
            done = len(self._module.history)
            raise ExperimentError(f"interrupted after {done} epochs" + ("; --resume continues" if done else ""))
        self._module.cpu()
        return self._module.history


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """On Ctrl-C Lightning ignores further ones for good and exits the process; here the caller decides."""
    # elsewhere than in the main thread a handler can be neither set by Lightning nor put back
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    interrupted = False
    try:
        yield lambda: interrupted
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        interrupted = True
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
