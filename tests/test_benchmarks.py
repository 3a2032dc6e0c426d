"""The benchmarks: that they run, go on where they stopped, compare what is the same, and make a page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("pytorch_metric_learning", minversion="2.9.0")

from benchmarks import run
from benchmarks.page import NOTHING, number, page
from benchmarks.suites import INPUTS, SUITES, counterparts, losses, ours, peer
from metricreg import InputError
from metricreg.bench.inputs import Inputs
from metricreg.bench.memory import PAGES
from tests.parity.counterparts import LOSSES

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),  # torch, of PML's histogram
    pytest.mark.filterwarnings("ignore:Values of Tp or Tn are too high:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),  # of PML's sphereface
]
BATCH = Inputs(16, 8, per_class=4)

# -- what is compared -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", losses())
def test_every_loss_can_be_measured_and_its_peer_has_its_value_and_gradient(name: str) -> None:
    inputs = replace(BATCH, **INPUTS.get(name, {}))
    mine: Any = ours(name, inputs)(inputs)
    mine()
    got = mine.leaves[0].grad
    assert got.isfinite().all()
    if name not in LOSSES:
        assert peer(name, inputs) is None
        return
    theirs: Any = peer(name, inputs)(inputs)  # type: ignore[misc]
    held, others = mine.leaves[1:], theirs.leaves[1:]
    for one, other in zip(held, others, strict=True):
        other.data = (one.detach().T if LOSSES[name].columns and one.ndim == 2 else one.detach()).clone()
    assert mine.value().item() == pytest.approx(theirs.value().item(), rel=1e-4, abs=1e-5)
    theirs()
    want = theirs.leaves[0].grad
    assert torch.allclose(got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()) + 1e-7)


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_measures_nothing_twice(suite: str) -> None:
    rows = list(SUITES[suite]())
    assert 0 < len(set(rows)) == len(rows)
    assert {name for name, _ in rows} <= set(losses())
    assert counterparts() <= set(losses())


def test_a_row_is_measured_with_pages_given_back_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run.SUITES, "issue", lambda: iter([("arcface", Inputs(128, 8))]))
    words = ["issue", "--repeat", "1", "--results", str(tmp_path)]
    run.main(words)
    (file,) = tmp_path.glob("issue-*.csv")
    rows = run.read(file)
    assert [row["pages"] for row in rows] == list(PAGES)
    for row in rows:
        assert (row["loss"], row["n"], row["classes"], row["device"]) == ("arcface", "128", "32", "cpu")
        assert all(float(row[key]) > 0 for key in ("ms", "floor_ms", "pml_ms", "over_floor", "over_pml", "threads"))
        assert (row["stopped"], row["pml_stopped"], row["pml"]) == ("", "", "2.9.0")
        assert "core" in row["machine"]
    written = file.read_text()
    run.main(words)
    assert file.read_text() == written


# -- going on, without measuring --------------------------------------------------------------------------------------

FOUND = {"ms": 1.0, "over_floor": 2.0}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """What was measured, in place of measuring: N, and whether PML was too, which stops from N = 64 on."""
    found: list[tuple[int, bool]] = []

    def measure(make: Any, inputs: Inputs, other: Any = None, **plan: Any) -> dict[str, Any]:
        if inputs.batch == 8:
            raise InputError("a batch of 8 is no batch")
        if inputs.batch == 48:
            raise KeyboardInterrupt
        found.append((inputs.batch, other is not None))
        return FOUND | {"other_stopped": "over 22 GiB" if other is not None and inputs.batch >= 64 else None}

    monkeypatch.setattr(run, "measure", measure)
    return found


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Runs a suite of batches of supcon, and gives its rows."""

    def suite(*batches: int, words: tuple[str, ...] = ()) -> list[dict[str, str]]:
        monkeypatch.setitem(run.SUITES, "small", lambda: (("supcon", replace(BATCH, batch=n)) for n in batches))
        run.main(["small", "--pages", "kept", "--results", str(tmp_path), *words])
        return run.read(next(tmp_path.glob("small-*.csv")))

    return suite


def test_rows_that_are_there_are_kept_unless_asked_for_again(suite: Any, measured: list[Any]) -> None:
    suite(16, 32)
    with pytest.raises(KeyboardInterrupt):
        suite(16, 32, 40, 48)
    rows = suite(16, 32, 40, words=("--again", "--batch", "32"))
    assert [n for n, _ in measured] == [16, 32, 40, 32]
    assert [row["n"] for row in rows] == ["16", "32", "40"]


def test_what_was_over_a_limit_is_not_tried_on_a_larger_batch(suite: Any, measured: list[Any]) -> None:
    rows = suite(32, 64, 128)
    suite(32, 64, 128, 256)  # nor after a new start
    assert [beside for _, beside in measured] == [True, True, False, False]
    assert [row["pml_stopped"] for row in rows] == ["", "over 22 GiB", "not run: over 22 GiB at N = 64"]
    assert all(row["ms"] == "1" for row in rows)


def test_what_a_loss_does_not_take_is_said_and_the_rest_is_measured(suite: Any, measured: list[Any]) -> None:
    rows = suite(8, 16)
    assert [row["stopped"] for row in rows] == ["a batch of 8 is no batch", ""]
    assert measured == [(16, True)]


def test_a_wrong_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in ((["nothing"], "invalid choice: 'nothing'"), (["issue", "--device", "cuda:99"], "'cuda:99'")):
        with pytest.raises(SystemExit):
            run.main(words)
        assert message in capsys.readouterr().err


# -- the page ---------------------------------------------------------------------------------------------------------

GONE = {"pml_ms": None, "over_pml": None, "pml_mib": None}


def write(folder: Path, suite: str, *changes: dict[str, Any]) -> None:
    row = {"loss": "supcon", "n": 4096, "dim": 128, "per_class": 4, "classes": 1024, "dtype": "float32"}
    row |= {"device": "cpu", "pages": "kept", "ms": 12.34, "over_floor": 1.5, "over_pml": 0.25, "spread": 0.012}
    row |= {"pml_ms": 50.0, "mib": 20.0, "pml_mib": 400.0, "parameters_mib": 0.0, "stopped": None, "pml_stopped": None}
    row |= {"machine": "A(R) CPU, 2 cores", "threads": 2, "torch": "2.5", "pml": "2.9.0", "metricreg": "0.1.0"}
    run.write(folder / f"{suite}-a.csv", [run._texts(row | {"date": "2026-01-31"} | change) for change in changes])


def test_without_files_the_page_says_that_nothing_was_measured_and_how_to(tmp_path: Path) -> None:
    assert NOTHING in page(tmp_path)
    assert "python -m benchmarks.run issue" in page(tmp_path)


def test_a_table_has_what_the_file_has_for_pages_given_back_and_kept(tmp_path: Path) -> None:
    write(tmp_path, "issue", {}, {"loss": "siglip", **GONE}, {"pages": "given back", "ms": 24.0})
    made = page(tmp_path)
    assert "## A(R) CPU, 2 cores" in made
    given_back, kept = made.partition("Pages of freed memory kept:")[::2]
    assert "| [supcon](components/losses.md#supcon) | 24.0 | 50.0 |" in given_back
    assert "| [supcon](components/losses.md#supcon) | 12.3 | 50.0 | 0.250 | 1.2 % | 1.50 | 20.0 | 400 |" in kept
    assert "| [siglip](components/losses.md#siglip) | 12.3 | – | – | 1.2 % | 1.50 | 20.0 | – |" in kept
    assert "metricreg 0.1.0, pytorch-metric-learning 2.9.0, torch 2.5; threads: 2; measured on 2026-01-31." in made
    assert "The suite `growth` was not run on this machine." in made


def test_growth_is_fitted(tmp_path: Path) -> None:
    sizes = (128, 1024, 2048, 4096)
    rows = [{"n": n, "ms": n**2 / 1e4, "mib": n / 100, "pml_ms": n**2 / 1e3, "pml_mib": n**3 / 1e6} for n in sizes]
    write(tmp_path, "growth", *rows, {"n": 8192, "pml_stopped": "over 22 GiB", "ms": 8192**2 / 1e4, **GONE})
    made = page(tmp_path)
    assert "| [supcon](components/losses.md#supcon) | 128 | 4 | 2.00 | 2.00 |" in made
    assert "- PML, over 22 GiB: supcon (N = 8,192, C = 1,024)." in made


def test_the_files_that_are_committed_make_a_page() -> None:
    made = page()
    assert "### Every loss at N = 4,096, D = 256" in made
    assert "Pages of freed memory given back:" in made
    assert "Pages of freed memory kept:" in made


def test_numbers_have_three_digits() -> None:
    texts = ("12345.6", "123.4", "12.34", "1.234", "0.1234")
    assert [number(text) for text in texts] == ["12,346", "123", "12.3", "1.23", "0.123"]
