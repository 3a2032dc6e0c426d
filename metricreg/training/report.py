"""What a run says to the user, beside its progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from metricreg.training.preparation import Preparation

MEASURES = {"precision_at_1": "precision@1", "r_precision": "R-precision", "map_at_r": "MAP@R"}


def introduction(ready: Preparation, device: str, done: int) -> list[str]:
    """Lines that say what is about to happen.

    Args:
        ready: the experiment.
        device: where it trains.
        done: epochs that a resumed run has behind it.
    """
    experiment, dataset = ready.experiment, ready.dataset
    lines = [
        f"{experiment.data.name}: {len(dataset.labels)} rows of {len(dataset.classes)} classes; "
        f"{len(ready.train_rows)} to train on, {len(ready.test_rows)} held out by {experiment.data.split.by}",
        *dataset.notes,
        f"training {experiment.encoder.name} for {experiment.trainer.epochs} epochs on {device}",
    ]
    return [*lines, f"resumed after epoch {done}"] if done else lines


def conclusion(metrics: dict[str, Any], title: str, folder: Path, console: Console) -> list[str]:
    """Lines, one of them a table, that say what came out.

    Args:
        metrics: the content of `metrics.json`.
        title: of the table.
        folder: where the results are.
        console: decides on the table's width, colour and characters.
    """
    before, after = metrics["before"], metrics["after"]
    table = Table(title=title, title_justify="left")
    table.add_column("held-out retrieval")
    table.add_column(f"before: {before['rows']}", justify="right")
    table.add_column(f"after: {after['rows']}", justify="right", style="bold")
    for key, label in MEASURES.items():
        table.add_row(label, f"{before[key]:.4f}", f"{after[key]:.4f}")
    with console.capture() as capture:
        console.print(table)
    lines = [capture.get().rstrip("\n")]
    if after["skipped"]:
        lines.append(f"{after['skipped']} held-out rows are alone in their class and were not asked about")
    return [*lines, f"{metrics['seconds']:.1f} s; results in {folder}"]
