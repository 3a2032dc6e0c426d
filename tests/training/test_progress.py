from __future__ import annotations

import io

import pytest
from rich.console import Console

from metricreg.errors import ExperimentError
from metricreg.training.run import run

pytestmark = pytest.mark.usefixtures("without_figures")


def test_a_terminal_gets_a_bar_and_no_lines(write_experiment, tmp_path, monkeypatch):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr("rich.console.Console", lambda: terminal)
    lines: list[str] = []
    run(write_experiment(), tmp_path / "out", report=lines.append)
    assert "epoch 3/3  loss" in screen.getvalue()
    assert "━" in screen.getvalue()
    assert not any(line.startswith("epoch") for line in lines)


def test_the_bar_is_taken_away_when_training_fails(write_experiment, tmp_path, monkeypatch):
    terminal = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr("rich.console.Console", lambda: terminal)
    path = write_experiment(optimizer={"name": "sgd", "lr": 1e38})
    with pytest.raises(ExperimentError, match=r"became (nan|inf)"):
        run(path, tmp_path / "out", report=lambda line: None)
    assert terminal._live_stack == [] if hasattr(terminal, "_live_stack") else terminal._live is None


def test_log_every_sets_the_epochs_between_lines(write_experiment, tmp_path):
    lines: list[str] = []
    run(write_experiment(trainer={"epochs": 7, "log_every": 3}), tmp_path / "out", report=lines.append)
    assert [line.split()[1] for line in lines if line.startswith("epoch")] == ["3/7", "6/7", "7/7"]
