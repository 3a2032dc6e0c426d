"""Measuring time and memory of objectives in processes of their own."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from metricreg import InputError, SpecError, build
from metricreg.bench.inputs import Inputs, fit
from metricreg.bench.measurement import ROUNDS, exponent, in_turn, machine, measure, spread
from metricreg.bench.memory import PAGES
from metricreg.bench.steps import ObjectiveStep, products_step, spec_step
from metricreg.bench.worker import SMALL, StoppedError, Worker
from metricreg.explanation.cost import Cost

LARGE = Inputs(2 * SMALL, 4)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and glibc")

# -- inputs -----------------------------------------------------------------------------------------------------------


def test_inputs_are_the_same_for_the_same_arguments() -> None:
    one, same = (Inputs(16, 3).tensors() for _ in range(2))
    assert torch.equal(one["embeddings"], same["embeddings"])
    assert torch.equal(one["labels"], same["labels"])


def test_classes_have_as_many_samples_as_said_spread_over_those_that_are_known() -> None:
    labels = Inputs(24, 3, per_class=4).tensors()["labels"]
    assert labels.unique(return_counts=True)[1].tolist() == [4] * 6
    assert not torch.equal(labels, labels.sort().values)
    assert torch.equal(Inputs(24, 3, per_class=4, grouped=True).tensors()["labels"], labels.sort().values)
    assert Inputs(16, 3, per_class=4, classes=1000).tensors()["labels"].unique().tolist() == [0, 250, 500, 750]
    assert Inputs(16, 3, per_class=4, classes=2).tensors()["labels"].unique().tolist() == [0, 1]


def test_a_second_view_or_a_set_of_references_is_another_tensor() -> None:
    views = Inputs(8, 3).tensors(two_views=True)
    assert list(views) == ["embeddings", "ref_embeddings"]
    assert not torch.equal(views["ref_embeddings"], views["embeddings"])
    made = Inputs(4, 3, references=6).tensors()
    assert [len(tensor) for tensor in made.values()] == [4, 4, 6, 6]


@pytest.mark.parametrize("device", ["cuda:99", "mps", "gpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(InputError, match=f"'{device}' cannot be used here .*; there is cpu"):
        Inputs(8, device=device).check_device()


# -- specs ------------------------------------------------------------------------------------------------------------


def test_a_spec_gets_the_sizes_that_it_needs_and_the_inputs_its_classes(tmp_path: Path) -> None:
    inputs = Inputs(32, 12)
    sizes = {"num_classes": 8, "embedding_size": 12}
    assert fit("supcon", inputs) == ({"loss": {"name": "supcon"}}, inputs)
    assert fit("arcface", inputs)[0]["loss"] == {"name": "arcface", **sizes}
    assert fit("manifold", Inputs(512, 12))[0]["loss"] == {"name": "manifold", "l": 12, "num_classes": 128}
    assert fit("cross_batch_memory", Inputs(2048, 12))[0]["loss"]["memory_size"] == 2048
    experiment = '{"pipeline": {"loss": {"name": "arcface", "margin": 20}}}'
    assert fit(experiment, inputs)[0]["loss"] == {"name": "arcface", "margin": 20, **sizes}
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"loss": {"name": "arcface", "num_classes": 5}, "execution": {"plan": "dense"}}))
    spec, fitted = fit(str(file), inputs)
    assert spec["loss"] == {"name": "arcface", "num_classes": 5, "embedding_size": 12}
    assert spec["execution"] == {"plan": "dense"}
    assert fitted.known == 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"loss": {"name": "supcon", "temprature": 1}}, r"cannot measure .*did you mean 'temperature'"),
        ({}, "/loss"),
        ("supcn", r"unknown loss 'supcn'; did you mean 'supcon'.*give a file"),
    ],
)
def test_a_spec_that_is_wrong_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        fit(spec, Inputs(8))


# -- steps ------------------------------------------------------------------------------------------------------------


def test_a_step_is_a_forward_and_a_backward_pass() -> None:
    objective = build({"loss": {"name": "arcface", "num_classes": 9, "embedding_size": 4}})
    step = ObjectiveStep(objective, Inputs(16, 4, classes=9))
    assert [list(leaf.shape) for leaf in step.leaves] == [[16, 4], [9, 4]]
    assert (step.references, step.parameter_bytes) == (9, 4 * 9 * 4)
    step()
    first = [leaf.grad.clone() for leaf in step.leaves if leaf.grad is not None]
    step()
    assert all(torch.equal(leaf.grad, grad) for leaf, grad in zip(step.leaves, first, strict=True))
    assert all(grad.abs().sum() > 0 for grad in first)


def test_a_loss_of_two_views_gets_two_views() -> None:
    step = spec_step(Inputs(16, 4), {"loss": "barlow_twins"})
    step()
    assert list(step.tensors) == ["embeddings", "ref_embeddings"]
    assert all(leaf.grad is not None for leaf in step.leaves)


@pytest.mark.parametrize("references", [96, 7])
def test_the_floor_multiplies_every_row_with_every_reference(references: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metricreg.bench.steps.TILE_VALUES", 64 * references)  # two tiles
    step = products_step(Inputs(96, 8), references)
    with Cost() as cost:
        step()
    assert sum(product.flop for product in cost.products.values()) == 3 * 2 * 96 * references * 8


# -- turns ------------------------------------------------------------------------------------------------------------


def turns(rounds: int | None = None, **times: Any) -> tuple[dict[str, list[float]], dict[str, str], str]:
    asked: list[str] = []

    def clock(name: str, given: Any) -> Callable[[], float]:
        def now() -> float:
            asked.append(name)
            found = next(given)
            if isinstance(found, str):
                raise StoppedError(found)
            return float(found)

        return now

    found, stopped = in_turn({name: clock(name, iter(given)) for name, given in times.items()}, rounds)
    return found, stopped, "".join(asked)


def test_steps_are_timed_there_and_back_as_often_as_is_said() -> None:
    times, _, asked = turns(3, a=[1.0, 2.0, 3.0], b=[2.0, 4.0, 6.0])
    assert asked == "abbaab"
    assert times == {"a": [1.0, 2.0, 3.0], "b": [2.0, 4.0, 6.0]}


def test_rounds_end_early_where_they_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(turns(None, a=[1.0] * 100)[0]["a"]) == ROUNDS
    monkeypatch.setattr("metricreg.bench.measurement.SECONDS", 0.0)
    assert turns(None, a=[1.0] * 100)[0] == {"a": [1.0]}


def test_a_step_that_is_stopped_is_left_out_and_the_others_go_on() -> None:
    times, stopped, _ = turns(3, a=[1.0] * 3, b=[1.0, "over 1 s"])
    assert times == {"a": [1.0] * 3}
    assert stopped == {"b": "over 1 s"}


def test_the_spread_of_a_median_narrows_with_the_rounds_and_ignores_a_disturbance() -> None:
    values = [0.98, 0.99, 1.0, 1.01, 1.02]
    assert spread(values * 4) == pytest.approx(spread(values) / 2)
    assert spread([*values * 4, 50.0]) < 2 * spread(values * 4)


def test_the_exponent_of_a_power_is_found() -> None:
    assert exponent((n, 3.0 * n**1.5) for n in (128, 512, 4096)) == pytest.approx(1.5)
    assert exponent([(128, None), (256, 1.0), (512, 4.0), (1024, 0.0)]) == pytest.approx(2.0)
    assert exponent([(128, 1.0), (128, 2.0)]) is None


# -- workers ----------------------------------------------------------------------------------------------------------


def odd_step(inputs: Inputs, does: str) -> Callable[[], object]:
    """A step that comes to no good end, on a batch that is larger than the one that a worker warms up with."""

    def step() -> None:
        if inputs.batch <= SMALL:
            return
        if does == "sleeps":
            time.sleep(60)
        elif does == "dies":
            os._exit(3)
        elif does == "prints":
            print("this is no answer")
        else:
            torch.ones(2 ** int(does))

    return step


@pytest.mark.parametrize(
    ("does", "gib", "message"),
    [
        ("sleeps", None, "over 1 s"),
        ("dies", None, "the worker ended with 3"),
        ("46", None, "out of memory"),
        pytest.param("29", 1.0, "over 1 GiB", marks=linux),
    ],
)
def test_a_step_that_comes_to_no_end_is_stopped_and_says_why(does: str, gib: float | None, message: str) -> None:
    with Worker(seconds=1.0, gib=gib) as worker, pytest.raises(StoppedError, match=message):
        worker.prepare(partial(odd_step, does=does), LARGE)


def test_what_a_step_prints_is_no_answer() -> None:
    with Worker() as worker:
        worker.prepare(partial(odd_step, does="prints"), LARGE)
        assert worker.time() >= 0


def test_a_wrong_input_is_the_user_s_error() -> None:
    with Worker() as worker, pytest.raises(InputError, match="embedding_size"):
        worker.prepare(
            partial(spec_step, spec={"loss": {"name": "arcface", "num_classes": 32, "embedding_size": 7}}), LARGE
        )


def faults(held: dict[str, Any]) -> int:
    """Pages that the system had to give for large tensors, when they are made not for the first time."""
    before = 0
    for _ in range(9):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        del (tensors := [torch.ones(2**24) for _ in range(2)])[:]
        assert not tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@linux
@pytest.mark.parametrize("pages", PAGES)
def test_pages_of_freed_memory_are_given_back_or_kept_as_is_said(pages: str) -> None:
    with Worker(environment=PAGES[pages]) as worker:
        found = worker.call(faults, more=60.0)
    assert (found < 1000) == (pages == "kept")


def filling_step(inputs: Inputs) -> Callable[[], object]:
    """A step of 16 MiB, made where more was just freed."""
    torch.ones(2**24)
    return lambda: torch.ones(2**22)


@linux
def test_the_peak_of_a_step_is_found_and_what_was_freed_before_is_no_part_of_it() -> None:
    with Worker() as worker:
        found = worker.prepare(filling_step, LARGE)["peak"]
    assert 15 < found / 2**20 < 18


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_is_measured_on_a_gpu() -> None:
    found = measure(partial(spec_step, spec={"loss": "supcon"}), Inputs(512, 8, device="cuda"), rounds=2)
    assert found["ms"] > 0
    assert found["mib"] > 0


# -- measurements -----------------------------------------------------------------------------------------------------


def test_a_measurement_has_time_and_memory_beside_the_floor_and_another() -> None:
    dense, slow = ({"loss": name, "execution": {"plan": "dense"}} for name in ("supcon", "fast_ap"))
    found = measure(partial(spec_step, spec=dense), Inputs(512, 8), partial(spec_step, spec=slow), rounds=3)
    assert found["over_floor"] > 1
    assert found["over_other"] < 1
    assert (found["rounds"], found["references"], found["stopped"], found["other_stopped"]) == (3, 512, None, None)
    if sys.platform.startswith("linux"):
        assert 1 < found["mib"] < found["other_mib"]  # a matrix [512, 512] of float32


def test_where_the_other_is_stopped_the_rest_is_measured() -> None:
    dying = partial(odd_step, does="dies")
    found = measure(partial(spec_step, spec={"loss": "supcon"}), LARGE, dying, rounds=1)
    assert found["over_floor"] > 0
    assert (found["other_ms"], found["over_other"], found["other_mib"]) == (None, None, None)
    assert found["other_stopped"] == "the worker ended with 3"


def test_the_machine_is_named_by_its_processor_and_cores() -> None:
    assert "core" in str(machine()["name"])
    assert machine()["torch"] == torch.__version__
