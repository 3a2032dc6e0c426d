"""What is measured of each loss, and which class of pytorch-metric-learning stands for it.

The counterparts are those that the tests compare values and gradients with: `tests/parity/counterparts.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor, nn

from metricreg.bench.given import fitted
from metricreg.bench.inputs import Inputs
from metricreg.bench.process import Subject
from metricreg.bench.step import ObjectiveStep


@dataclass(frozen=True)
class Case:
    """What is particular to measuring a loss; of most there is nothing.

    Args:
        given: the parameters that it needs, by the inputs, besides the number of classes and the size of embeddings.
        inputs: what its inputs have to be.
        note: what is to be known of the comparison.
    """

    given: Callable[[Inputs], Mapping[str, Any]] = lambda inputs: {}
    inputs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


TWO_VIEWS = {"two_views": True}
CASES: dict[str, Case] = {
    "barlow_twins": Case(inputs=TWO_VIEWS),
    "cross_batch_memory": Case(lambda inputs: {"loss": "contrastive", "memory_size": max(1024, inputs.batch)}),
    "dynamic_arcface": Case(lambda inputs: {"class_counts": [inputs.per_class] * inputs.known}),
    "instance": Case(inputs={"per_class": 1, "grouped": True}, note="A class a sample."),
    "manifold": Case(lambda inputs: {"l": inputs.dim, "K": inputs.known}),
    "multiple": Case(lambda inputs: {"losses": ["contrastive", "supcon"]}, note="Of contrastive and supcon."),
    "ranked_list": Case(lambda inputs: {"margin": 0.4, "Tn": 10.0}),
    "self_supervised": Case(lambda inputs: {"loss": "ntxent"}, TWO_VIEWS, "Of ntxent."),
    "smooth_ap": Case(
        inputs={"grouped": True},
        note="The batch is in order of its classes, as pytorch-metric-learning needs it. Its value is that of the "
        "formula only where a batch has as many classes as samples of each.",
    ),
    "vicreg": Case(inputs=TWO_VIEWS),
}


@cache
def counterparts() -> frozenset[str]:
    """The losses that pytorch-metric-learning has too; none where it is not installed."""
    try:
        from tests.parity.counterparts import LOSSES
    except ImportError:
        return frozenset()
    return frozenset(LOSSES)


def case_of(name: str) -> Case:
    """What is particular to a loss."""
    return CASES.get(name, Case())


class Peer(nn.Module):
    """A loss of pytorch-metric-learning, called as a pipeline is.

    Args:
        loss: PML's.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Its value."""
        value: Tensor = self.loss(embeddings, labels, None, None, None)  # all tuples, and no references apart
        return value


def inputs_of(name: str, inputs: Inputs) -> Inputs:
    """The inputs that a loss is measured on."""
    return replace(inputs, **case_of(name).inputs)


def loss_of(name: str, inputs: Inputs) -> dict[str, Any]:
    """The spec of a loss that fits its inputs."""
    spec: dict[str, Any] = fitted({"name": name, **case_of(name).given(inputs)}, inputs)
    return spec


def ours(name: str, inputs: Inputs) -> Subject:
    """metricreg's."""
    return Subject.of_spec({"loss": loss_of(name, inputs)})


def peer(name: str, inputs: Inputs) -> Subject | None:
    """pytorch-metric-learning's; None where it has none."""
    if name not in counterparts():
        return None
    return Subject("benchmarks.peers:of_pml", {"loss": loss_of(name, inputs)})


def of_pml(inputs: Inputs, loss: dict[str, Any]) -> ObjectiveStep:
    """The step of the counterpart of a loss; made in the worker."""
    from tests.parity.counterparts import in_pml

    return ObjectiveStep(Peer(in_pml("loss", loss)).to(inputs.device), inputs)


def pml_version() -> str | None:
    """Its version; None where it is not installed."""
    try:
        return version("pytorch-metric-learning")
    except PackageNotFoundError:
        return None
