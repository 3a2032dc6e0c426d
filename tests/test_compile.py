"""torch.compile without graph breaks, in the dense plan: every loss, or a reason."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch

from metricreg import Execution, create
from metricreg.pipeline import Pipeline
from tests.checks import record, shipped
from tests.documentation import ROOT
from tests.examples import example
from tests.oracle import assert_close, value_and_gradients

NOT_COMPILABLE: dict[str, str] = json.loads((ROOT / "docs" / "not-compilable.json").read_text(encoding="utf-8"))
"""Losses that cannot, and why; the documentation is made from it."""


@pytest.fixture(autouse=True)
def numbers_in_the_graph() -> Iterator[None]:
    """How many positives an anchor has at most is a number of the graph; older versions of torch want to be asked."""
    with torch._dynamo.config.patch(capture_scalar_outputs=True, capture_dynamic_output_shape_ops=True):
        yield


pytestmark = pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0")


def results(name: str, backend: str = "eager") -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Value and gradients, compiled and not. Capturing the graph is enough: the backend runs it as it is."""
    torch._dynamo.reset()
    found = []
    for compiled in (True, False):
        case = example(name)
        pipeline = Pipeline(case.loss, execution=Execution("dense"))
        called = torch.compile(pipeline, fullgraph=True, backend=backend) if compiled else pipeline
        found.append(value_and_gradients(case.by(called), [*case.views, *pipeline.parameters()]))
    return found[0], found[1]


@pytest.mark.checks("compile", "loss")
@pytest.mark.parametrize("name", [name for name in shipped("loss") if name not in NOT_COMPILABLE])
def test_the_whole_pipeline_is_one_graph(name: str) -> None:
    assert_close(*results(name), 1e-12)


@pytest.mark.parametrize("name", ["contrastive", "ntxent", "multi_similarity", "triplet_margin", "arcface"])
def test_the_gradient_is_a_graph_too(name: str) -> None:
    assert_close(*results(name, "aot_eager"), 1e-12)


@pytest.mark.parametrize("name", ["contrastive", "triplet_margin", "smooth_ap"])
def test_a_match_is_part_of_the_graph(name: str) -> None:
    torch._dynamo.reset()
    loss = create("loss", name, match="share_any")
    x = torch.randn(8, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    sets = torch.tensor([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [0, 1], [1, 1], [0, 0]])
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    assert_close(value_and_gradients(compiled(x, sets), [x]), value_and_gradients(loss(x, sets), [x]), 1e-12)


@pytest.mark.parametrize("name", NOT_COMPILABLE)
def test_what_is_said_not_to_compile_does_not(name: str) -> None:
    assert name in shipped("loss")
    record("loss", name, "compile", "refused")
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which it is depends on the version of torch
        results(name)
    assert type(raised.value).__name__ in ("Unsupported", "UserError", "GuardOnDataDependentSymNode")


def test_labels_that_are_no_class_are_refused_by_the_compiled_graph_too() -> None:
    torch._dynamo.reset()
    case = example("arcface")
    compiled = torch.compile(case.loss, fullgraph=True, backend="eager")
    with pytest.raises(RuntimeError, match="has 4 classes, and there are other labels"):
        compiled(case.x, case.labels + 2)
