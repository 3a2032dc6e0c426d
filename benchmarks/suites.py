"""The named suites: which losses are measured on which inputs, and beside what.

The counterparts in pytorch-metric-learning (PML) are those that the tests compare values and gradients with:
`tests/parity/counterparts.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import metricreg
from metricreg.bench.inputs import Inputs, filled
from metricreg.bench.steps import ObjectiveStep, spec_step
from metricreg.bench.worker import Make
from metricreg.components.proxy_loss import ProxyLoss
from metricreg.distances import LpDistance
from metricreg.losses import ContrastiveLoss, MultiSimilarityLoss, SupConLoss, TripletMarginLoss
from metricreg.miners import MultiSimilarityMiner
from metricreg.reducers import MeanReducer, MultipleReducers, ThresholdReducer
from metricreg.regularizers import ZeroMeanRegularizer

# -- what is particular to a loss; of most there is nothing -----------------------------------------------------------

GIVEN: dict[str, Callable[[Inputs], dict[str, Any]]] = {
    "cross_batch_memory": lambda inputs: {"loss": "contrastive"},
    "manifold": lambda inputs: {"K": inputs.known},
    "multiple": lambda inputs: {"losses": ["contrastive", "supcon"]},
    "ranked_list": lambda inputs: {"margin": 0.4, "Tn": 10.0},
    "self_supervised": lambda inputs: {"loss": "ntxent"},
}
"""Parameters that it needs besides its sizes."""
INPUTS: dict[str, dict[str, Any]] = {
    "barlow_twins": {"two_views": True},
    "instance": {"per_class": 1, "grouped": True},
    "self_supervised": {"two_views": True},
    "smooth_ap": {"grouped": True},
    "vicreg": {"two_views": True},
}
"""What its inputs have to be."""
NOTES = {
    "instance": "A class a sample.",
    "multiple": "Of contrastive and supcon.",
    "self_supervised": "Of ntxent.",
    "smooth_ap": "The batch is in order of its classes, as pytorch-metric-learning needs it. Its value is that of the "
    "formula only where a batch has as many classes as samples of each.",
}
"""What is to be known of the comparison."""


@dataclass(frozen=True)
class Row:
    """One thing to measure.

    Args:
        loss: a name.
        inputs: on what.
        peer: beside PML, where it has the loss.
        memory: and its memory.
        sync: and whether it waits for the GPU.
    """

    loss: str
    inputs: Inputs
    peer: bool = True
    memory: bool = True
    sync: bool = False


def spec_of(name: str, inputs: Inputs) -> dict[str, Any]:
    """The spec of a loss that fits its inputs."""
    spec: dict[str, Any] = filled({"name": name, **GIVEN.get(name, lambda inputs: {})(inputs)}, inputs)
    return spec


def ours(name: str, inputs: Inputs) -> Make:
    """What makes the step of a loss."""
    return partial(spec_step, spec={"loss": spec_of(name, inputs)})


def peer(name: str, inputs: Inputs) -> Make | None:
    """What makes the step of its counterpart in PML; None where there is none."""
    return partial(pml_step, loss=spec_of(name, inputs)) if name in counterparts() else None


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

    def rank(name: str) -> int:
        is_proxy = issubclass(metricreg.default_registry().get("loss", name), ProxyLoss)
        return 2 if is_proxy else int("two_views" in INPUTS.get(name, ()))

    entries = metricreg.default_registry()
    names = sorted((e.name for e in entries if e.kind == "loss" and e.distribution == "metricreg"), key=rank)
    peers = counterparts() or names  # all where it is not installed
    return [name for name in names if not (of_pairs and rank(name)) and not (with_peer and name not in peers)]


def growth() -> Iterator[Row]:
    """Losses on pairs and triplets from small batches to large ones."""
    for dim, per_class, step in ((128, 4, 1), (128, 16, 2), (512, 4, 2), (512, 16, 2)):
        for name in losses(of_pairs=True, with_peer=True):
            for power in range(7, 16, step):
                yield Row(name, Inputs(2**power, dim, per_class))


def gpu() -> Iterator[Row]:
    """What a GPU is for: half precision on 32768 samples, and all triplets of 8192."""
    for name in ("ntxent", "supcon", "multi_similarity"):
        yield Row(name, Inputs(32768, 512, dtype="bfloat16"), sync=True)
    yield Row("triplet_margin", Inputs(8192, 128), sync=True)


FACES = ("arcface", "cosface", "normalized_softmax", "proxy_anchor", "proxy_nca")
SUITES: dict[str, Callable[[], Iterator[Row]]] = {
    "issue": lambda: (Row(name, Inputs(4096)) for name in losses()),
    "small": lambda: (Row(name, Inputs(n), memory=False) for n in (128, 256) for name in losses(with_peer=True)),
    "large": lambda: (Row(name, Inputs(32768), peer=False) for name in losses(of_pairs=True)),
    "growth": growth,
    "classes": lambda: (Row(name, Inputs(1024, 128, 4, 10**p)) for name in FACES for p in range(3, 7)),
    "gpu": gpu,
}


def quick(rows: Iterator[Row]) -> Iterator[Row]:
    """Few rows of a suite, made small: whether the harness works, and no more."""
    seen = set()
    for row in rows:
        inputs = row.inputs
        classes = None if inputs.classes is None else min(inputs.classes, 50)
        made = replace(row, inputs=replace(inputs, batch=min(inputs.batch, 128), dim=8, classes=classes))
        if row.loss in ("triplet_margin", "ntxent", "arcface") and made not in seen:
            seen.add(made)
            yield made


# -- what composition costs: a pipeline from JSON beside the loss made by hand, `validate`, and `metricreg list` ------

WITH_SLOTS = {
    "name": "contrastive",
    "pos_margin": 0.0,
    "neg_margin": 0.5,
    "distance": {"name": "lp", "p": 2},
    "reducer": {"name": "multiple", "reducers": {"pos_loss": {"name": "threshold", "low": 0.1}, "neg_loss": "mean"}},
    "embedding_regularizer": "zero_mean",
}
SPECS: dict[str, dict[str, Any]] = {
    "triplet_margin": {"loss": "triplet_margin"},
    "supcon": {"loss": "supcon"},
    "contrastive with everything": {"loss": WITH_SLOTS},
    "multi_similarity with its miner": {"loss": "multi_similarity", "miner": "multi_similarity"},
}
TYPICAL = {"version": 1, "loss": WITH_SLOTS, "miner": {"name": "multi_similarity", "epsilon": 0.1}}


def by_hand(what: str) -> Callable[..., Any]:
    """What a program without specs would call."""
    if what == "contrastive with everything":
        reducer = MultipleReducers({"pos_loss": ThresholdReducer(low=0.1), "neg_loss": MeanReducer()})
        slots = {"distance": LpDistance(p=2), "reducer": reducer, "embedding_regularizer": ZeroMeanRegularizer()}
        return ContrastiveLoss(pos_margin=0.0, neg_margin=0.5, **slots)
    if what == "multi_similarity with its miner":
        loss, miner = MultiSimilarityLoss(), MultiSimilarityMiner()
        return lambda x, labels: loss(x, labels, tuples=miner(x, labels))
    return SupConLoss() if what == "supcon" else TripletMarginLoss()


def hand_step(inputs: Inputs, what: str) -> ObjectiveStep:
    """The step of a loss made by hand."""
    return ObjectiveStep(by_hand(what), inputs)


def validate_step(inputs: Inputs) -> Callable[[], object]:
    """Checking a typical spec."""
    return lambda: metricreg.validate(TYPICAL)


def command_step(inputs: Inputs, words: list[str]) -> Callable[[], object]:
    """Running Python as a process."""
    return lambda: subprocess.run([sys.executable, *words], capture_output=True, check=True)


COMPARISONS: dict[tuple[str, str], list[Make]] = {
    (f"{what}, from JSON", "by hand"): [partial(spec_step, spec=spec), partial(hand_step, what=what)]
    for what, spec in SPECS.items()
}
"""What runs, and beside what."""
COMPARISONS["validate", ""] = [validate_step]
COMPARISONS["metricreg list", "an empty Python"] = [
    partial(command_step, words=words) for words in (["-m", "metricreg.cli", "list"], ["-c", "pass"])
]
