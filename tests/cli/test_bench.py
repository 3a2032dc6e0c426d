"""`metricreg bench`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import metricreg
from metricreg.cli import app

TINY = ("--dim", "4", "--repeat", "1")

TOO_WIDE = '{"loss": {"name": "arcface", "num_classes": 32, "embedding_size": 7}}'


def bench(*words: str) -> Result:
    return CliRunner().invoke(app, ["bench", *words])


def test_a_table_has_a_row_for_each_spec_and_batch_and_says_how_costs_grow() -> None:
    result = bench("supcon", "--batch", "64,256", "--dim", "4", "--repeat", "2")
    assert result.exit_code == 0, result.output
    about, heading, *rows = result.output.splitlines()
    assert "core" in about
    assert "D = 4, 4 per class, float32, torch" in about
    assert heading.split() == ["spec", "N", "ms", "over", "floor", "±", "MiB"]
    assert [row.split()[:2] for row in rows[:2]] == [["supcon", "64"], ["supcon", "256"]]
    assert all(float(cell) >= 0 for row in rows[:2] for cell in row.split()[2:4])
    assert rows[2].startswith("supcon grows: time as N^")


def test_json_and_csv_have_all_that_was_measured(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"loss": {"name": "arcface", "num_classes": 20}}))
    rows = tmp_path / "rows.csv"
    result = bench(str(spec), "--batch", "16", *TINY, "--against", "cosface", "--csv", str(rows), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    (row,) = found["rows"]
    assert found["machine"]["metricreg"] == metricreg.__version__
    assert (row["spec"], row["batch"], row["against"], row["references"]) == (str(spec), 16, "cosface", 20)
    assert (row["stopped"], row["other_stopped"]) == (None, None)
    assert row["over_other"] == pytest.approx(row["ms"] / row["other_ms"])
    assert row["parameters_mib"] == pytest.approx(20 * 4 * 4 / 2**20)
    with rows.open(newline="", encoding="utf-8") as stream:
        (written,) = csv.DictReader(stream)
    assert {key: "" if value is None else str(value) for key, value in row.items()} == written


def test_a_spec_that_passes_a_limit_is_a_row_that_says_so() -> None:
    result = bench("supcon", "--batch", "2048", *TINY, "--memory-limit", "0.01")
    assert result.exit_code == 0, result.output
    assert "over 0.01 GiB" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["supcn"], "unknown loss 'supcn'; did you mean 'supcon'?"),
        (["gone.json"], "cannot read gone.json: No such file or directory"),
        (["supcon", "--batch", "0"], "batch is a whole number, at least 1"),
        (["supcon", "--batch", "8,"], "--batch is a number or several"),
        (["supcon", "--device", "cuda:99"], "the device 'cuda:99' cannot be used here"),
        (["supcon", "--dtype", "half"], "dtype is one of float32"),
        (["supcon", "--against", "supcn"], "unknown loss 'supcn'"),
        ([TOO_WIDE, "--batch", "8", *TINY], f"cannot measure {TOO_WIDE} on these inputs: "),
        (["supcon", "--batch", "8", *TINY, "--csv", "gone/rows.csv"], "cannot write gone/rows.csv"),
    ],
)
def test_what_cannot_be_measured_is_an_error_that_says_why(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = bench(*words)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
