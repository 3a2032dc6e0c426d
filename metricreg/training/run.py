"""`metricreg train`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricreg.errors import ExperimentError
from metricreg.training.extras import ALWAYS, require
from metricreg.training.output import LABELS, OutputFolder

if TYPE_CHECKING:
    from metricreg.training.preparation import Preparation

EXTENSIONS = (".json", ".toml", ".yaml", ".yml")


def run(
    experiment: Path,
    output: Path | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    report: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Train an embedding as an experiment file says, and measure retrieval on held-out rows before and after.

    Nothing is written until the experiment, its data and one batch through its pipeline have been found good.

    Args:
        experiment: a JSON, TOML or YAML file.
        output: the folder for results; by default `runs/<name of the file>`.
        resume: continue from the checkpoint in that folder, as if the run had never stopped.
        overwrite: replace the results in that folder.
        report: takes a line, or a table of several, for the user.

    Returns:
        What `metrics.json` holds.

    Raises:
        SpecError: the experiment file is wrong; each problem has a JSON pointer.
        ExperimentError: data, encoder, hardware or output folder cannot be used, or training failed.
    """
    started = time.perf_counter()
    require(*ALWAYS)
    from metricreg.spec.document import load
    from metricreg.training.experiment import Experiment

    _check_file(experiment)
    parsed = Experiment.parse(load(experiment))
    folder = OutputFolder(output if output is not None else Path("runs") / experiment.stem)
    folder.check(resume=resume, overwrite=overwrite)

    from metricreg.training.quiet import quiet

    with quiet():
        from lightning.pytorch.utilities.seed import isolate_rng

        from metricreg.training.preparation import prepare

        with isolate_rng():
            ready = prepare(parsed, experiment.parent)
            return _train(ready, folder, started, resume=resume, overwrite=overwrite, report=report)


def _check_file(path: Path) -> None:
    if not os.path.isfile(path):  # Path.is_file raises for a path that may not be looked at
        folder = ", it is a folder" if os.path.isdir(path) else ""
        raise ExperimentError(f"there is no experiment file {path}{folder}")
    if path.suffix.lower() not in EXTENSIONS:
        raise ExperimentError(f"{path} has the extension '{path.suffix}'; an experiment is {', '.join(EXTENSIONS)}")


def _train(
    ready: Preparation,
    folder: OutputFolder,
    started: float,
    *,
    resume: bool,
    overwrite: bool,
    report: Callable[[str], None],
) -> dict[str, Any]:
    from rich.console import Console

    from metricreg.training.checkpoint import check_checkpoint, identity_of
    from metricreg.training.fit import Fit
    from metricreg.training.report import conclusion, introduction
    from metricreg.training.results import about_data, measure_and_write

    epochs, console = ready.experiment.trainer.epochs, Console()
    digest = ready.dataset.sha256()
    identity = identity_of(ready.resolved, digest)
    fit = Fit(ready, folder, identity, report, console)
    done, notes = check_checkpoint(folder.checkpoint, identity, epochs, ready.versions) if resume else (0, [])

    with folder.lock():  # from here on the folder is written to
        folder.check(resume=resume, overwrite=overwrite)  # again: another run may have been there meanwhile
        if overwrite:
            folder.clear()
        folder.write_json(LABELS, {"classes": ready.dataset.classes, "training_classes": ready.train_classes})
        folder.write_json("experiment.json", ready.resolved)
        folder.write_json("spec.json", ready.spec)
        for line in [*introduction(ready, fit.device, done), *notes]:
            report(line)
        began = time.perf_counter()
        history = fit.run(resume=resume)
        training = {
            "epochs": len(history),
            "resumed_after": done,
            "steps": len(history) * len(ready.sampler),
            "seconds": round(time.perf_counter() - began, 3),
            "device": fit.device,
            "loss": [mean for mean, _, _ in history],
        }
        metrics = measure_and_write(ready, folder, history) | {
            "data": about_data(ready, digest),
            "training": training,
            "seconds": round(time.perf_counter() - started, 3),
            "versions": ready.versions,
        }
        folder.write_json("metrics.json", metrics)
        for line in conclusion(metrics, ready.title, folder.path, console):
            report(line)
        return metrics
