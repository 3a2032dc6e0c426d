"""What a killed run continues from."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint

from metricreg.errors import ExperimentError, SpecError
from metricreg.spec.migrate import migrate
from metricreg.training.output import CHECKPOINT, OutputFolder

IDENTITY = "metricreg_experiment"
VERSIONS = "metricreg_versions"


class CheckpointEveryEpoch(Checkpoint):
    """Saves the whole state of training after each epoch. A kill at any moment leaves the last whole one.

    Args:
        output: where to.
        identity: which experiment this is, see `identity_of`.
        versions: of the distributions that take part.
    """

    def __init__(self, output: OutputFolder, identity: dict[str, Any], versions: dict[str, str]) -> None:
        self._output = output
        self._identity = json.dumps(identity)
        self._versions = json.dumps(versions)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save. As a `Checkpoint` this runs after the module has closed the epoch."""
        with self._output.replacing(CHECKPOINT) as part:
            trainer.save_checkpoint(part)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: Any) -> None:
        """Write the experiment's identity, and the versions of what takes part, into the checkpoint."""
        checkpoint[IDENTITY] = self._identity
        checkpoint[VERSIONS] = self._versions


def identity_of(resolved: dict[str, Any], data_sha256: str) -> dict[str, Any]:
    """What must be the same for a run to be the continuation of another.

    The data counts by content, not by where it lies. What changes no figure, or only how far training goes, may
    differ; with a schedule the number of epochs shapes every step, so there it counts.
    """
    kept = {key: value for key, value in resolved.items() if key not in ("$schema", "name", "data", "trainer")}
    free = {"accelerator", "log_every"} | ({"epochs"} if resolved["optimizer"]["schedule"] == "none" else set())
    kept["pipeline"] = {key: value for key, value in resolved["pipeline"].items() if key != "execution"}
    kept["data"] = {key: value for key, value in resolved["data"].items() if key != "path"} | {"content": data_sha256}
    kept["trainer"] = {key: value for key, value in resolved["trainer"].items() if key not in free}
    return kept


def check_checkpoint(
    path: Path, identity: dict[str, Any], epochs: int, versions: dict[str, str]
) -> tuple[int, list[str]]:
    """Epochs that a checkpoint has behind it, and a line for each distribution that had another version then.

    It is read without unpickling anything but tensors and plain values.

    Args:
        path: of the checkpoint.
        identity: of the experiment that continues.
        epochs: how far it goes.
        versions: of the distributions that take part.

    Raises:
        ExperimentError: this experiment cannot continue from it.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        saved, done = json.loads(checkpoint[IDENTITY]), int(checkpoint["epoch"]) + 1
        then = dict(json.loads(checkpoint.get(VERSIONS, "{}")))
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise ExperimentError(
            f"the checkpoint {path} is not one that metricreg wrote, or is damaged; --overwrite starts anew"
        ) from error
    different = _differences(_with_names_of_now(saved), identity, "")
    if different:
        raise ExperimentError(
            f"the checkpoint {path} is of another experiment: {', '.join(different[:5])} changed; "
            "--overwrite starts anew, --output chooses another folder"
        )
    if done > epochs:
        raise ExperimentError(f"the checkpoint {path} has {done} epochs behind it, trainer.epochs is only {epochs}")
    changed = [name for name, now in versions.items() if then.get(name, now) != now]
    return done, [f"the checkpoint is of {name} {then[name]}, and {versions[name]} is installed" for name in changed]


def _with_names_of_now(saved: Any) -> Any:
    """The same identity; what its pipeline had by names that a plugin has since given up, by those of now."""
    try:
        return saved | {"pipeline": migrate(saved["pipeline"])}
    except (SpecError, KeyError, TypeError):  # what differs is said
        return saved


def _differences(saved: Any, now: Any, at: str) -> list[str]:
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = sorted(saved.keys() | now.keys())
        return [found for key in keys for found in _differences(saved.get(key), now.get(key), f"{at}/{key}")]
    return [] if saved == now else [at]
