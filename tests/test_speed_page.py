"""The page "Speed and memory", of rows that are made up here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.page import NOTHING, figures, page
from benchmarks.result_file import FOLDER, ResultFile
from benchmarks.run import KEYS
from benchmarks.table import cell, number, table

ABOUT = {
    "machine": "A(R) CPU, 2 cores",
    "threads": 2,
    "torch": "2.5",
    "pml": "2.9.0",
    "metricreg": "0.1.0",
    "python": "3.11",
    "date": "2026-01-31",
}


def row(loss: str = "supcon", n: int = 4096, **changes: Any) -> dict[str, Any]:
    of = {"loss": loss, "n": n, "dim": 128, "per_class": 4, "classes": n // 4, "dtype": "float32", "device": "cpu"}
    found = {"ms": 12.34, "over_floor": 1.5, "over_pml": 0.25, "spread": 0.012, "rounds": 5, "floor_ms": 8.0}
    more = {"pml_ms": 50.0, "mib": 20.0, "pml_mib": 400.0, "parameters_mib": 0.0, "references": n}
    return of | found | more | {"stopped": None, "pml_stopped": None, "sync": None} | ABOUT | changes


def write(folder: Path, suite: str, *rows: dict[str, Any], keys: tuple[str, ...] = KEYS) -> None:
    file = ResultFile(folder / f"{suite}-a.csv", keys)
    for each in rows:
        file.add(each)


def test_without_files_the_page_says_that_nothing_was_measured_and_how_to(tmp_path: Path) -> None:
    made = page(tmp_path)
    assert NOTHING in made
    assert "python -m benchmarks.run issue" in made
    assert figures(tmp_path) == {}


def test_a_table_has_what_the_file_has_and_names_the_machine(tmp_path: Path) -> None:
    write(tmp_path, "issue", row(), row("siglip", pml_ms=None, over_pml=None, pml_mib=None))
    made = page(tmp_path)
    assert "## A(R) CPU, 2 cores" in made
    assert "| [supcon](components/losses.md#supcon) | 12.3 | 50.0 | 0.250 | 1.2 % | 1.50 | 20.0 | 400 |" in made
    assert "| [siglip](components/losses.md#siglip) | 12.3 | – | – | 1.2 % | 1.50 | 20.0 | – |" in made
    assert "metricreg 0.1.0, pytorch-metric-learning 2.9.0, torch 2.5; 2 threads; 2026-01-31." in made
    assert "The suite `growth` was not run on this machine." in made


def test_what_could_not_be_run_is_said(tmp_path: Path) -> None:
    gone = {"pml_ms": None, "over_pml": None, "pml_mib": None}
    write(
        tmp_path,
        "growth",
        row(n=1024),
        row(n=2048, pml_stopped="over 22 GiB", **gone),
        row(n=4096, pml_stopped="not run: over 22 GiB at N = 2,048", **gone),
    )
    made = page(tmp_path)
    assert "- PML, over 22 GiB: supcon (N = 2,048)." in made
    assert "- PML, not run: over 22 GiB at N = 2,048: supcon (N = 4,096)." in made


def test_growth_is_fitted_and_drawn_for_both_colour_schemes(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [
        row(n=n, ms=n**2 / 1e4, mib=n / 100, pml_ms=n**2 / 1e3, pml_mib=n**3 / 1e6) for n in (128, 1024, 2048, 4096)
    ]
    write(tmp_path, "growth", *rows, row("ntxent", pml_ms=None))
    made = page(tmp_path)
    assert "| [supcon](components/losses.md#supcon) | 128 | 4 | 2.00 | 2.00 | 1.00 | 3.00 | 4,096 |" in made
    assert "| [ntxent](components/losses.md#ntxent) | 128 | 4 | – | – | – | – | – |" in made
    drawn = figures(tmp_path)
    assert set(drawn) == {"figures/a-cpu-2-cores-ms.svg", "figures/a-cpu-2-cores-mib.svg"}
    assert all(f"({name})" in made for name in drawn)
    for svg in drawn.values():
        assert svg.startswith("<svg")
        assert "prefers-color-scheme:dark" in svg
        assert "currentColor" in svg
        assert {"#2f81f7", "#d9730d"} <= set(re.findall("#[0-9a-f]{6}", svg))
        assert not {"#000000", "#ffffff", "#010203"} & set(re.findall("#[0-9a-f]{6}", svg))
        assert "supcon" in svg
        assert "ntxent" in svg
    assert figures(tmp_path) == drawn


def test_the_weights_of_many_classes_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "classes", row("arcface", classes=1_000_000, parameters_mib=500.0, mib=700.0))
    assert "| 1,000,000 | 12.3 | 50.0 | 0.250 | 1.50 | 700 | 400 | 500 | 1.20 |" in page(tmp_path)


def test_every_suite_has_its_section(tmp_path: Path) -> None:
    for suite in ("issue", "small", "large", "growth", "classes"):
        write(tmp_path, suite, row())
    write(tmp_path, "gpu", row(sync="no", dtype="bfloat16"))
    compared = {"what": "validate", "ms": 1.0, "beside": "", "beside_ms": None, "ratio": None, "spread": None}
    write(tmp_path, "composition", compared | ABOUT, keys=("what",))
    made = page(tmp_path)
    assert made.count("\n### ") == 7
    assert "was not run" not in made
    assert "| validate | 1.00 | – | – | – | – |" in made


def test_what_is_committed_makes_a_page() -> None:
    made = page()
    assert made.startswith("# Speed and memory")
    assert (NOTHING in made) == (not list(FOLDER.glob("*.csv")))


def test_numbers_have_three_digits() -> None:
    assert [number(text) for text in ("12345.6", "123.4", "12.34", "1.234", "0.1234")] == [
        "12,346",
        "123",
        "12.3",
        "1.23",
        "0.123",
    ]
    assert cell({"ms": ""}, "ms") == cell({}, "ms") == "–"
    assert table(["a", "b"], [["x|y", "1"]]) == ["| a | b |", "|---|---:|", "| x/y | 1 |", ""]
