"""What a loss has learned, in the checkpoints of a trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from metricreg import InputError
from metricreg_sentence_transformers.metric_loss import MetricLoss


class ObjectiveCheckpoint(TrainerCallback):
    """Saves what a `MetricLoss` has learned with each checkpoint, and restores it where training is resumed.

    The trainer itself keeps the encoder alone. Needed for a pipeline with class vectors, a learned temperature, or a
    memory, and only if training may be resumed, or the best model is loaded in the end.

    Args:
        loss: the loss of the trainer, or one of them.
        folder: in the folder of a checkpoint; one for each loss.
    """

    def __init__(self, loss: MetricLoss, folder: str = "metricreg") -> None:
        self.loss = loss
        self.folder = folder

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Write it to the checkpoint of this step."""
        if state.is_world_process_zero:
            self.loss.save(self._of_step(args, state))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take it from the checkpoint that training is resumed from."""
        if state.global_step == 0:
            return
        folder = self._of_step(args, state)
        if not folder.is_dir():
            raise InputError(
                f"training is resumed from step {state.global_step}, and there is no {folder} with what the loss had "
                "learned; resume from a checkpoint in output_dir, or load it by MetricLoss.load and leave the callback "
                "out"
            )
        self.loss.load(folder)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Take it from the best checkpoint, where the trainer takes the encoder from that."""
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            self.loss.load(Path(state.best_model_checkpoint) / self.folder)

    def _of_step(self, args: TrainingArguments, state: TrainerState) -> Path:
        assert args.output_dir is not None
        return Path(args.output_dir) / f"checkpoint-{state.global_step}" / self.folder
