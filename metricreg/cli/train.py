"""`metricreg train`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metricreg.cli.output import say


def train(
    experiment: Annotated[Path, typer.Argument(help="An experiment file: .json, .toml, .yaml.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder for results; runs/<experiment> if left out.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint in the output folder.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Empty the output folder first.")] = False,
) -> None:
    """Train an embedding as an experiment file says, and measure retrieval on held-out data before and after."""
    from metricreg.training.run import run

    run(experiment, output, resume=resume, overwrite=overwrite, report=say)
