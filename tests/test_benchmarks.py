"""The benchmarks: that they run, go on where they stopped, and compare what is the same."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("pytorch_metric_learning", minversion="2.9.0")

from benchmarks import run
from benchmarks.composition import SPECS, by_hand
from benchmarks.peers import counterparts, inputs_of, loss_of, of_pml, ours, peer
from benchmarks.result_file import ResultFile
from benchmarks.suites import SUITES, Row, losses, pairs, quick
from metricreg import InputError, build
from metricreg.bench.inputs import Inputs
from metricreg.bench.measurement import Measurement
from metricreg.bench.step import ObjectiveStep, of_spec
from tests.parity.counterparts import LOSSES

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning"),  # torch, of PML's histogram
    pytest.mark.filterwarnings("ignore:Values of Tp or Tn are too high:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept context:DeprecationWarning"),  # of PML's sphereface
]
BATCH = Inputs(16, 8, per_class=4)

# -- peers ------------------------------------------------------------------------------------------------------------


def test_every_counterpart_is_a_peer() -> None:
    assert counterparts() == set(LOSSES)
    assert set(LOSSES) <= set(losses())
    assert {"ntxent", "manifold"} <= set(pairs())
    assert not {"arcface", "p2s_grad", "vicreg"} & set(pairs())


@pytest.mark.parametrize("name", losses())
def test_every_case_can_be_evaluated(name: str) -> None:
    inputs = inputs_of(name, BATCH)
    step = of_spec(inputs, **ours(name, inputs).arguments)
    step.run()
    assert isinstance(step, ObjectiveStep)
    assert step.embeddings.grad is not None
    assert step.embeddings.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_peer_has_the_value_and_the_gradient_that_it_is_compared_with(name: str) -> None:
    inputs = inputs_of(name, BATCH)
    mine = ObjectiveStep(build({"loss": loss_of(name, inputs)}), inputs)
    subject = peer(name, inputs)
    assert subject is not None
    theirs = of_pml(inputs, **subject.arguments)
    for held, other in zip(mine.objective.parameters(), theirs.objective.parameters(), strict=True):
        other.data = (held.detach().T if LOSSES[name].columns and held.ndim == 2 else held.detach()).clone()
    assert mine.value().item() == pytest.approx(theirs.value().item(), rel=1e-4, abs=1e-5)
    mine.run()
    theirs.run()
    got, want = mine.embeddings.grad, theirs.embeddings.grad
    assert got is not None
    assert want is not None
    assert torch.allclose(got, want, rtol=1e-3, atol=1e-4 * float(want.abs().max()) + 1e-7)


@pytest.mark.parametrize("what", SPECS)
def test_what_is_made_by_hand_is_what_the_spec_says(what: str) -> None:
    by_spec, hand = (ObjectiveStep(made, BATCH) for made in (build(SPECS[what]), by_hand(what)))
    assert by_spec.value().item() == pytest.approx(hand.value().item(), rel=1e-6)


# -- suites -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_measures_nothing_twice_and_names_what_is_there(suite: str) -> None:
    rows = list(SUITES[suite]())
    assert len({(row.loss, row.inputs) for row in rows}) == len(rows)
    assert {row.loss for row in rows} <= set(losses())
    few = list(quick(iter(rows)))
    assert 0 < len(few) < 20
    assert all(row.inputs.batch <= 128 for row in few)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_quick_run_writes_a_row_for_each_thing_measured_and_a_second_one_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["issue", "--quick", "--loss", "arcface", "--results", str(tmp_path)]
    run.main(words)
    (file,) = tmp_path.glob("issue-*.csv")
    (row,) = rows_of(file)
    assert (row["loss"], row["n"], row["classes"], row["device"]) == ("arcface", "128", "32", "cpu")
    assert all(float(row[key]) > 0 for key in ("ms", "floor_ms", "pml_ms", "over_floor", "over_pml", "parameters_mib"))
    assert (row["stopped"], row["pml_stopped"], row["pml"]) == ("", "", "2.9.0")
    assert "core" in row["machine"]
    written = file.read_text()
    run.main(words)
    assert file.read_text() == written


# -- going on, without measuring --------------------------------------------------------------------------------------


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, bool]]:
    """What was measured, in place of measuring: name, N, and whether PML was too, which stops from N = 64 on."""
    found: list[tuple[str, int, bool]] = []

    def measure(subject: Any, inputs: Inputs, plan: Any, other: Any = None) -> Measurement:
        found.append((subject.arguments["spec"]["loss"]["name"], inputs.batch, other is not None))
        stopped = "over 22 GiB" if other is not None and inputs.batch >= 64 else None
        return Measurement(ms=1.0, over_floor=2.0, other_stopped=stopped)

    monkeypatch.setattr(run, "measure", measure)
    return found


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Runs a suite of batches of supcon, and gives its rows."""

    def suite(*batches: int, words: tuple[str, ...] = (), base: Inputs = BATCH) -> list[dict[str, str]]:
        rows = [Row("supcon", replace(base, batch=n)) for n in batches]
        monkeypatch.setitem(run.SUITES, "small", lambda: iter(rows))
        run.main(["small", "--results", str(tmp_path), *words])
        return rows_of(next(tmp_path.glob("small-*.csv")))

    return suite


def test_rows_that_are_there_are_kept_unless_asked_for_again(suite: Any, measured: list[Any]) -> None:
    suite(16, 32)
    suite(16, 32, 48)
    assert [n for _, n, _ in measured] == [16, 32, 48]
    rows = suite(16, 32, 48, words=("--again", "--batch", "32"))
    assert [n for _, n, _ in measured] == [16, 32, 48, 32]
    assert [row["n"] for row in rows] == ["16", "32", "48"]


def test_a_run_that_breaks_off_has_kept_what_it_measured(
    suite: Any, measured: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run.measure

    def breaks(subject: Any, inputs: Inputs, plan: Any, other: Any = None) -> Measurement:
        if inputs.batch == 48:
            raise KeyboardInterrupt
        return whole(subject, inputs, plan, other)

    monkeypatch.setattr(run, "measure", breaks)
    with pytest.raises(KeyboardInterrupt):
        suite(16, 32, 48)
    assert [row["n"] for row in rows_of(next(tmp_path.glob("small-*.csv")))] == ["16", "32"]


def test_what_was_over_a_limit_is_not_tried_on_a_larger_batch(suite: Any, measured: list[Any]) -> None:
    rows = suite(32, 64, 128)
    suite(32, 64, 128, 256)  # nor after a new start
    assert [beside for *_, beside in measured] == [True, True, False, False]
    assert [row["pml_stopped"] for row in rows] == ["", "over 22 GiB", "not run: over 22 GiB at N = 64"]
    assert all(row["ms"] == "1" for row in rows)
    suite(512, base=replace(BATCH, dim=4))  # of other features, nothing is known
    assert measured[-1] == ("supcon", 512, True)


def test_what_a_loss_does_not_take_is_said_and_the_rest_is_measured(
    suite: Any, measured: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.measure

    def refuses(subject: Any, inputs: Inputs, plan: Any, other: Any = None) -> Measurement:
        if inputs.batch == 16:
            raise InputError("a batch of 16 is no batch")
        return whole(subject, inputs, plan, other)

    monkeypatch.setattr(run, "measure", refuses)
    rows = suite(16, 32)
    assert [row["stopped"] for row in rows] == ["a batch of 16 is no batch", ""]
    assert [row["ms"] for row in rows] == ["", "1"]


def test_pml_can_be_left_out(suite: Any, measured: list[Any]) -> None:
    (row,) = suite(16, words=("--no-pml",))
    assert measured == [("supcon", 16, False)]
    assert row["pml_stopped"] == ""


def test_a_file_of_results_gets_new_columns_and_keeps_its_rows(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.csv"
    results = ResultFile(file, ("loss", "n"))
    results.add({"loss": "a", "n": 1, "ms": 1.23456})
    results = ResultFile(file, ("loss", "n"))
    results.add({"loss": "b", "n": 1, "ms": None, "mib": 2.0})
    results.add({"loss": "a", "n": 1, "ms": 3.0})
    assert file.read_text() == "loss,n,ms,mib\na,1,3,\nb,1,,2\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "invalid choice: 'nothing'"),
        (["issue", "--device", "cuda:99"], "the device 'cuda:99' cannot be used here"),
        (["issue", "--batch", "x"], "invalid _numbers value"),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.main(words)
    assert message in capsys.readouterr().err
