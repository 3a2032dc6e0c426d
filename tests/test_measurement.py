"""Measuring time and memory of objectives in processes of their own."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from metricreg import InputError, SpecError, build
from metricreg.bench.given import given_spec
from metricreg.bench.growth import exponent
from metricreg.bench.inputs import SMALL, Inputs
from metricreg.bench.machine import Machine, cpu
from metricreg.bench.measurement import Plan, measure
from metricreg.bench.process import Limits, StoppedError, Subject, WorkerProcess
from metricreg.bench.resident import available, peak_of, resident
from metricreg.bench.step import ObjectiveStep, ProductsStep
from metricreg.bench.turns import Series, in_turn, spread
from metricreg.bench.worker import Worker, failure
from tests.steps import DYING, FINE, HUNGRY, LOUD, REFUSED, SLEEPY

LARGE = Inputs(2 * SMALL, 4)
LIMITS = Limits(seconds=1.0)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")

# -- inputs -----------------------------------------------------------------------------------------------------------


def test_inputs_are_the_same_for_the_same_arguments() -> None:
    one, same, other = (Inputs(16, 3, seed=seed).tensors() for seed in (1, 1, 2))
    assert torch.equal(one["embeddings"], same["embeddings"])
    assert torch.equal(one["labels"], same["labels"])
    assert not torch.equal(one["embeddings"], other["embeddings"])


def test_classes_have_as_many_samples_as_said() -> None:
    labels = Inputs(24, 3, per_class=4).tensors()["labels"]
    assert labels.unique(return_counts=True)[1].tolist() == [4] * 6
    assert not torch.equal(labels, labels.sort().values)
    grouped = Inputs(24, 3, per_class=4, grouped=True).tensors()["labels"]
    assert torch.equal(grouped, labels.sort().values)


def test_labels_are_spread_over_the_classes_that_are_known() -> None:
    labels = Inputs(16, 3, per_class=4, classes=1000).tensors()["labels"]
    assert labels.unique().tolist() == [0, 250, 500, 750]
    few = Inputs(16, 3, per_class=4, classes=2).tensors()["labels"]
    assert few.unique().tolist() == [0, 1]


def test_a_second_view_is_another_tensor_and_needs_no_labels() -> None:
    made = Inputs(8, 3, two_views=True).tensors()
    assert list(made) == ["embeddings", "ref_embeddings"]
    assert made["ref_embeddings"].shape == (8, 3)
    assert not torch.equal(made["ref_embeddings"], made["embeddings"])


def test_the_small_inputs_have_labels_that_the_large_ones_could_have() -> None:
    small = Inputs(4096, 8, per_class=4).small()
    assert (small.batch, small.known) == (SMALL, SMALL // 4)
    assert Inputs(4096, 8, classes=10**6).small().known == 10**6
    assert Inputs(8, 8).small() == Inputs(8, 8)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"batch": -1}, {"dim": 0}, {"per_class": 0}, {"classes": 0}])
def test_sizes_that_are_no_sizes_are_refused(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(InputError, match=f"{name.replace('_', '-')} is a whole number from 1"):
        Inputs(**{"batch": 8} | wrong)


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(InputError, match="dtype is one of float32"):
        Inputs(8, dtype="int8")


@pytest.mark.parametrize("device", ["cuda:99", "mps", "meta", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"'{device}' cannot be used here .*; there is cpu"):
        Inputs(8, device=device).check_device()


# -- steps ------------------------------------------------------------------------------------------------------------


def test_a_step_is_a_forward_and_a_backward_pass() -> None:
    inputs = Inputs(16, 4, classes=9)
    step = ObjectiveStep(build({"loss": {"name": "arcface", "num_classes": 9, "embedding_size": 4}}), inputs)
    step.run()
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in step.leaves)
    assert [list(leaf.shape) for leaf in step.leaves] == [[16, 4], [9, 4]]
    step.reset()
    assert all(leaf.grad is None for leaf in step.leaves)
    assert step.facts() == {"references": 9, "parameter_bytes": 4 * 9 * 4}


def test_a_loss_on_pairs_compares_with_the_batch() -> None:
    assert ObjectiveStep(build({"loss": "supcon"}), Inputs(16, 4)).facts()["references"] == 16


@pytest.mark.parametrize("references", [96, 7])
def test_the_floor_multiplies_every_row_with_every_reference(references: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
        count = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            if "mm" in func.__name__:
                self.count += out.numel() * args[-1].shape[0]
            return out

    monkeypatch.setattr(ProductsStep, "VALUES", 64 * references)  # two tiles
    step = ProductsStep(Inputs(96, 8), references)
    with Products() as products:
        step.run()
    assert products.count == 3 * 96 * references * 8


# -- specs ------------------------------------------------------------------------------------------------------------


def test_a_name_stands_for_the_loss_with_the_sizes_of_the_inputs() -> None:
    inputs = Inputs(32, 12)
    assert given_spec("supcon", inputs) == {"loss": {"name": "supcon"}}
    assert given_spec("arcface", inputs)["loss"] == {"name": "arcface", "num_classes": 8, "embedding_size": 12}
    assert given_spec("arcface", replace(inputs, classes=50))["loss"]["num_classes"] == 50
    written = '{"pipeline": {"loss": {"name": "arcface", "margin": 20}}}'
    assert given_spec(written, inputs)["loss"] == {
        "name": "arcface",
        "margin": 20,
        "num_classes": 8,
        "embedding_size": 12,
    }


def test_a_file_says_what_it_says_and_the_rest_is_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"loss": {"name": "arcface", "num_classes": 5}, "execution": {"plan": "dense"}}))
    spec = given_spec(str(file), Inputs(32, 12))
    assert spec["loss"] == {"name": "arcface", "num_classes": 5, "embedding_size": 12}
    assert spec["execution"] == {"plan": "dense"}


def test_an_experiment_stands_for_its_pipeline() -> None:
    digits = Path(__file__).parent.parent / "examples" / "digits.json"
    assert given_spec(str(digits), Inputs(8)) == json.loads(digits.read_text())["pipeline"]


def test_a_spec_that_is_wrong_is_refused_with_a_pointer(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"loss": {"name": "supcon", "temprature": 1}}))
    with pytest.raises(SpecError, match=r"cannot measure .*did you mean 'temperature'"):
        given_spec(str(file), Inputs(8))
    file.write_text("{}")
    with pytest.raises(SpecError, match="/loss"):
        given_spec(str(file), Inputs(8))


def test_an_unknown_loss_is_refused_with_the_closest() -> None:
    with pytest.raises(SpecError, match=r"unknown loss 'supcn'; did you mean 'supcon'.*give a file"):
        given_spec("supcn", Inputs(8))


# -- turns ------------------------------------------------------------------------------------------------------------


class Clock:
    """Stands for a worker: its times, which say when it was asked."""

    asked: list[str]

    def __init__(self, name: str, asked: list[str], times: Any) -> None:
        self.name, self.asked, self.times = name, asked, iter(times)

    def time(self, step: int, count: int, each: float) -> float:
        self.asked.append(self.name)
        found = next(self.times)
        if isinstance(found, str):
            raise StoppedError(found)
        return float(found)


def turns(rounds: int | None = None, **times: Any) -> tuple[dict[str, Series], list[str]]:
    asked: list[str] = []
    runs: Any = {name: (Clock(name, asked, given), 0) for name, given in times.items()}
    return in_turn(runs, rounds=rounds), asked


def test_steps_are_timed_there_and_back_after_a_warm_up() -> None:
    found, asked = turns(3, a=[2.0, 1.0, 1.0, 2.0, 3.0], b=[2.0, 1.0, 2.0, 4.0, 6.0])
    assert "".join(asked) == "abababbaab"
    assert found["a"].seconds == [1.0, 2.0, 3.0]
    assert found["b"].median == 4.0


def test_a_drift_that_slows_both_does_not_change_the_ratio() -> None:
    slowing = [1.0, 1.0, *(1.0 + k for k in range(5))]
    found, _ = turns(5, a=slowing, b=[2 * t for t in slowing])
    assert found["a"].over(found["b"]) == 0.5


def test_a_step_that_is_stopped_has_no_median_and_the_others_go_on() -> None:
    found, _ = turns(3, a=[1.0] * 5, b=[1.0, 1.0, 2.0, "over 1 s"])
    assert found["b"].stopped == "over 1 s"
    assert found["b"].median is None
    assert found["a"].over(found["b"]) is None
    assert found["a"].seconds == [1.0] * 3


def test_what_takes_long_needs_no_warming_up() -> None:
    found, asked = turns(2, a=[5.0, 6.0], b=[1.0, 2.0])
    assert found["a"].seconds == [5.0, 6.0]
    assert len(asked) == 4


def test_rounds_end_when_the_ratio_is_known() -> None:
    found, _ = turns(None, a=[1.0] * 100, b=[2.0] * 100)
    assert len(found["a"].seconds) == 5


def test_the_spread_of_a_median_narrows_with_the_rounds_and_ignores_a_disturbance() -> None:
    values = [0.98, 0.99, 1.0, 1.01, 1.02]
    assert math.isinf(spread(values[:2]))
    assert spread(values * 4) == pytest.approx(spread(values) / 2)
    assert spread([*values * 4, 50.0]) < 2 * spread(values * 4)


def test_the_exponent_of_a_power_is_found() -> None:
    assert exponent((n, 3.0 * n**1.5) for n in (128, 512, 4096)) == pytest.approx(1.5)
    assert exponent([(128, None), (256, 1.0), (512, 4.0), (1024, 0.0)]) == pytest.approx(2.0)
    assert exponent([(128, 1.0)]) is None
    assert exponent([(128, 1.0), (128, 2.0)]) is None


# -- workers ----------------------------------------------------------------------------------------------------------


def test_a_worker_that_takes_too_long_is_stopped() -> None:
    with WorkerProcess(LIMITS) as worker:
        step, _ = worker.prepare(Subject(SLEEPY, {}), LARGE)
        with pytest.raises(StoppedError, match="over 1 s"):
            worker.time(step)


@linux
def test_a_worker_that_takes_too_much_memory_is_stopped() -> None:
    with WorkerProcess(Limits(seconds=60.0, gib=1.0)) as worker:
        step, _ = worker.prepare(Subject(HUNGRY, {}), LARGE)
        with pytest.raises(StoppedError, match="over 1 GiB"):
            worker.time(step)


def test_memory_that_is_refused_is_said_and_the_worker_goes_on() -> None:
    with WorkerProcess(LIMITS) as worker:
        step, _ = worker.prepare(Subject(REFUSED, {}), LARGE)
        with pytest.raises(StoppedError, match="out of memory"):
            worker.time(step)
        step, _ = worker.prepare(Subject(LOUD, {}), LARGE)  # and what it prints is no answer
        assert worker.time(step) >= 0


def test_a_worker_that_dies_is_reported_with_its_last_words() -> None:
    with WorkerProcess(LIMITS) as worker:
        step, _ = worker.prepare(Subject(DYING, {}), LARGE)
        with pytest.raises(StoppedError, match="ended with 3: the last words"):
            worker.time(step)
        with pytest.raises(StoppedError, match="ended with 3"):
            worker.time(step)


def test_a_wrong_input_is_the_user_s_error() -> None:
    with WorkerProcess(LIMITS) as worker, pytest.raises(InputError, match="two views"):
        worker.prepare(Subject.of_spec({"loss": "barlow_twins"}), LARGE)


def test_a_worker_prepares_times_and_weighs_steps() -> None:
    worker = Worker()
    asked = Subject.of_spec({"loss": "supcon"}).on(LARGE)
    prepared = worker.answer({"do": "prepare", **asked})
    assert prepared["step"] == 0
    assert prepared["facts"] == {"references": 128, "parameter_bytes": 0, "threads": torch.get_num_threads()}
    assert worker.answer({"do": "prepare", **asked})["step"] == 1
    assert worker.answer({"do": "time", "step": 1, "count": 3})["seconds"] > 0
    assert worker.answer({"do": "memory", **asked})["facts"]["references"] == 128
    assert worker.answer({"do": "sync", "step": 0}) == {"said": None}  # there is no GPU to wait for


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_worker_measures_on_a_gpu_and_says_whether_a_step_waits_for_it() -> None:
    worker = Worker()
    asked = Subject.of_spec({"loss": "supcon"}).on(replace(LARGE, device="cuda"))
    worker.answer({"do": "prepare", **asked})
    assert worker.answer({"do": "time", "step": 0, "count": 2})["seconds"] > 0
    assert worker.answer({"do": "memory", **asked})["bytes"] > 0
    assert isinstance(worker.answer({"do": "sync", "step": 0})["said"], str)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), "memory"),
        (InputError("labels"), "user"),
        (ZeroDivisionError("division by zero"), "error"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_told_apart(error: Exception, kind: str) -> None:
    found = failure(error)
    assert found["failed"] == kind
    assert found["said"]


@linux
def test_the_memory_of_a_step_is_what_it_holds_at_most() -> None:
    with WorkerProcess(LIMITS) as worker:
        found = worker.memory(Subject(FINE, {"mib": 40}), LARGE)
    assert found is not None
    assert 39 < found / 2**20 < 42


@linux
def test_the_peak_of_a_run_is_found_and_what_was_freed_before_is_no_part_of_it() -> None:
    def holds(mib: int) -> None:
        torch.ones(mib * 2**18)

    holds(64)
    found = peak_of(lambda: holds(16))
    assert found is not None
    assert 15 < found / 2**20 < 18


@linux
def test_the_memory_of_this_machine_is_known() -> None:
    import os

    held, free = resident(os.getpid()), available()
    assert held is not None
    assert held > 2**25
    assert free is not None
    assert Limits.of_this_machine().gib == pytest.approx(0.9 * free / 2**30, rel=0.2)


# -- measurements -----------------------------------------------------------------------------------------------------


def test_a_measurement_has_time_and_memory_beside_the_floor_and_another() -> None:
    inputs = Inputs(512, 8)
    found = measure(
        Subject.of_spec({"loss": "supcon", "execution": {"plan": "dense"}}),
        inputs,
        Plan(Limits(), rounds=3),
        Subject(FINE, {"seconds": 1.0, "mib": 30}),
    )
    assert found.ms is not None
    assert found.other_ms == pytest.approx(1000, rel=0.5)
    assert found.over_other is not None
    assert found.over_other < 0.9
    assert found.over_floor is not None
    assert found.over_floor > 1
    assert (found.rounds, found.references, found.stopped, found.other_stopped) == (3, 512, None, None)
    if sys.platform.startswith("linux"):
        assert found.mib is not None
        assert found.mib > 1  # a matrix [512, 512] of float32
        assert found.other_mib == pytest.approx(30, abs=4)


def test_where_the_other_is_stopped_the_rest_is_measured() -> None:
    plan = Plan(Limits(seconds=1.0), rounds=1, memory=False)
    found = measure(Subject.of_spec({"loss": "supcon"}), LARGE, plan, Subject(DYING, {}))
    assert found.ms is not None
    assert found.over_floor is not None
    assert (found.other_ms, found.over_other, found.mib) == (None, None, None)
    assert found.other_stopped == "the worker ended with 3: the last words"


def test_the_machine_is_named_by_its_processor_and_cores() -> None:
    machine = Machine.here()
    assert machine.name == cpu()
    assert "core" in machine.name
    assert machine.torch == torch.__version__
    slug = replace(machine, name="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 2 cores").slug
    assert slug == "intel-xeon-platinum-8481c-cpu-2-70ghz-2-cores"
