"""What is measured of each loss, and which class of pytorch-metric-learning stands for it.

The counterparts are those that the tests compare values and gradients with: `tests/parity/counterparts.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import Tensor, nn

from metricreg.measurement.given import fitted
from metricreg.measurement.inputs import Inputs
from metricreg.measurement.process import Subject
from metricreg.measurement.step import ObjectiveStep


@dataclass(frozen=True)
class Case:
    """A loss, with what it is called with.

    Args:
        given: its parameters by the inputs, besides the number of classes and the size of embeddings.
        peer: whether pytorch-metric-learning has a counterpart.
        inputs: what its inputs have to be.
        note: what is to be known of the comparison.
    """

    given: Callable[[Inputs], Mapping[str, Any]] = lambda inputs: {}
    peer: bool = True
    inputs: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


ALONE = Case(peer=False)
GROUPED = (
    "pytorch-metric-learning is handed the batch in order of its classes. Its value is that of the formula only where "
    "a batch has as many classes as samples of each."
)
CASES: dict[str, Case] = {
    # pairs and triplets
    "angular": Case(),
    "circle": Case(),
    "contrastive": Case(),
    "cross_batch_memory": Case(lambda inputs: {"loss": "contrastive"}, peer=False),
    "decoupled_contrastive": ALONE,
    "dynamic_soft_margin": ALONE,
    "fast_ap": Case(),
    "generalized_lifted_structure": Case(),
    "histogram": Case(),
    "instance": Case(inputs={"per_class": 1, "grouped": True}),
    "intra_pair_variance": Case(),
    "lifted_structure": Case(),
    "manifold": Case(lambda inputs: {"l": inputs.dim}, peer=False),
    "margin": Case(),
    "multi_similarity": Case(),
    "multi_supcon": ALONE,
    "multiple": Case(lambda inputs: {"losses": ["contrastive", "supcon"]}, peer=False),
    "nca": Case(),
    "npairs": Case(),
    "ntxent": Case(),
    "pnp": Case(),
    "ranked_list": Case(lambda inputs: {"margin": 0.4, "Tn": 10.0}),
    "recall_at_k": ALONE,
    "selectively_contrastive_triplet": ALONE,
    "self_supervised": Case(lambda inputs: {"loss": "ntxent"}, peer=False, inputs={"two_views": True}),
    "siglip": ALONE,
    "smooth_ap": Case(inputs={"grouped": True}, note=GROUPED),
    "snr_contrastive": Case(),
    "supcon": Case(),
    "threshold_consistent_margin": Case(),
    "triplet_margin": Case(),
    "tuplet_margin": Case(),
    # two views
    "barlow_twins": Case(peer=False, inputs={"two_views": True}),
    "vicreg": Case(peer=False, inputs={"two_views": True}),
    # class vectors
    "adaface": ALONE,
    "arcface": Case(),
    "cosface": Case(),
    "curricularface": ALONE,
    "dynamic_arcface": Case(lambda inputs: {"class_counts": [inputs.per_class] * inputs.known}, peer=False),
    "large_margin_softmax": Case(),
    "normalized_softmax": Case(),
    "p2s_grad": Case(),
    "proxy_anchor": Case(),
    "proxy_nca": Case(),
    "soft_triple": Case(),
    "sphereface": Case(),
    "subcenter_arcface": Case(),
}


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
    return replace(inputs, **CASES[name].inputs)


def loss_of(name: str, inputs: Inputs) -> dict[str, Any]:
    """The spec of a loss that fits its inputs."""
    spec: dict[str, Any] = fitted({"name": name, **CASES[name].given(inputs)}, inputs)
    return spec


def ours(name: str, inputs: Inputs) -> Subject:
    """metricreg's."""
    return Subject.of_spec({"loss": loss_of(name, inputs)})


def peer(name: str, inputs: Inputs) -> Subject | None:
    """pytorch-metric-learning's; None where it has none."""
    if not CASES[name].peer:
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
