"""The named suites: which losses are measured on which inputs, and beside what.

The counterparts in pytorch-metric-learning (PML) are those that the tests compare values and gradients with:
`tests/parity/counterparts.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import metricreg
from metricreg.bench.inputs import Inputs, fit
from metricreg.bench.steps import ObjectiveStep, spec_step
from metricreg.bench.worker import Make

# -- what is particular to a loss; of most there is nothing -----------------------------------------------------------

GIVEN: dict[str, Callable[[Inputs], dict[str, Any]]] = {
    "cross_batch_memory": lambda inputs: {"loss": "contrastive"},
    "manifold": lambda inputs: {"K": inputs.known},
    "multiple": lambda inputs: {"losses": ["contrastive", "supcon"]},
    "ranked_list": lambda inputs: {"margin": 0.4, "Tn": 10.0},
    "self_supervised": lambda inputs: {"loss": "ntxent"},
}
"""Parameters that it needs besides its sizes."""
INPUTS: dict[str, dict[str, Any]] = {"instance": {"per_class": 1, "grouped": True}, "smooth_ap": {"grouped": True}}
"""What its inputs have to be."""
NOTES = {
    "instance": "A class a sample.",
    "multiple": "Of contrastive and supcon.",
    "self_supervised": "Of ntxent.",
    "smooth_ap": "The batch is in order of its classes, as pytorch-metric-learning needs it. Its value is that of the "
    "formula only where a batch has as many classes as samples of each.",
}
"""What is to be known of the comparison."""


def spec_of(name: str, inputs: Inputs) -> dict[str, Any]:
    """The spec of a loss that fits its inputs."""
    given = GIVEN[name](inputs) if name in GIVEN else {}
    return fit({"loss": {"name": name, **given}}, inputs)[0]


def ours(name: str, inputs: Inputs) -> Make:
    """What makes the step of a loss."""
    return partial(spec_step, spec=spec_of(name, inputs))


def peer(name: str, inputs: Inputs) -> Make | None:
    """What makes the step of its counterpart in PML; None where there is none."""
    return partial(pml_step, loss=spec_of(name, inputs)["loss"]) if name in counterparts() else None


def pml_step(inputs: Inputs, loss: dict[str, Any]) -> ObjectiveStep:
    """The step of the counterpart of a loss."""
    from tests.parity.counterparts import in_pml

    made = in_pml("loss", loss).to(inputs.device)
    step = ObjectiveStep(made, inputs)
    step.objective = lambda x, labels: made(x, labels, None, None, None)  # all tuples, and no references apart
    return step


@cache
def counterparts() -> frozenset[str]:
    """The losses that PML has too; none where it is not installed."""
    try:
        from tests.parity.counterparts import LOSSES
    except ImportError:
        return frozenset()
    return frozenset(LOSSES)


# -- suites -----------------------------------------------------------------------------------------------------------


def losses(of_pairs: bool = False, with_peer: bool = False) -> list[str]:
    """Every loss that ships, those with class vectors last; or those on pairs and triplets, or that PML has too."""
    registry = metricreg.default_registry()
    names = [entry.name for entry in registry if entry.kind == "loss" and entry.distribution == "metricreg"]
    compared = {name: registry.get("loss", name).compared_with for name in names}
    peers = counterparts() or names  # all where it is not installed
    shown = [name for name in names if not (of_pairs and compared[name] != "references")]
    return sorted((n for n in shown if n in peers or not with_peer), key=lambda n: compared[n] == "own rows")


Rows = Iterator[tuple[str, Inputs]]


def growth() -> Rows:
    """Losses on pairs and triplets from small batches to large ones."""
    for dim, per_class, step in ((128, 4, 1), (128, 16, 2), (512, 4, 2), (512, 16, 2)):
        for name in losses(of_pairs=True, with_peer=True):
            for power in range(7, 16, step):
                yield name, Inputs(2**power, dim, per_class)


def gpu() -> Rows:
    """What a GPU is for: half precision on 32768 samples, and all triplets of 8192."""
    for name in ("ntxent", "supcon", "multi_similarity"):
        yield name, Inputs(32768, 512, dtype="bfloat16")
    yield "triplet_margin", Inputs(8192, 128)


FACES = ("arcface", "cosface", "normalized_softmax", "proxy_anchor", "proxy_nca")
SUITES: dict[str, Callable[[], Rows]] = {
    "issue": lambda: ((name, Inputs(4096)) for name in losses()),
    "small": lambda: ((name, Inputs(n)) for n in (128, 256) for name in losses(with_peer=True)),
    "large": lambda: ((name, Inputs(32768)) for name in losses(of_pairs=True)),
    "growth": growth,
    "classes": lambda: ((name, Inputs(1024, 128, 4, 10**p)) for name in FACES for p in range(3, 7)),
    "gpu": gpu,
}
ALONE = ("large",)
"""The suites that PML is no part of."""
