"""Composition: what it costs; a pipeline from JSON beside the loss made by hand, `validate`, and `metricreg list`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import metricreg
from metricreg.bench.inputs import Inputs
from metricreg.bench.process import Subject
from metricreg.bench.step import ObjectiveStep
from metricreg.distances import LpDistance
from metricreg.losses import ContrastiveLoss, MultiSimilarityLoss, SupConLoss, TripletMarginLoss
from metricreg.miners import MultiSimilarityMiner
from metricreg.reducers import MeanReducer, MultipleReducers, ThresholdReducer
from metricreg.regularizers import ZeroMeanRegularizer

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
        return ContrastiveLoss(
            pos_margin=0.0,
            neg_margin=0.5,
            distance=LpDistance(p=2),
            reducer=reducer,
            embedding_regularizer=ZeroMeanRegularizer(),
        )
    if what == "multi_similarity with its miner":
        loss, miner = MultiSimilarityLoss(), MultiSimilarityMiner()
        return lambda x, labels: loss(x, labels, tuples=miner(x, labels))
    return SupConLoss() if what == "supcon" else TripletMarginLoss()


class CallStep:
    """A call of a function.

    Args:
        call: what is timed.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call

    def reset(self) -> None:
        """Nothing is left."""

    def run(self) -> None:
        """The call."""
        self.call()

    def facts(self) -> dict[str, Any]:
        """Nothing is known."""
        return {}


def of_hand(inputs: Inputs, what: str) -> ObjectiveStep:
    """The step of a loss made by hand."""
    return ObjectiveStep(by_hand(what), inputs)


def of_validate(inputs: Inputs) -> CallStep:
    """Checking a typical spec."""
    return CallStep(lambda: metricreg.validate(TYPICAL))


def of_command(inputs: Inputs, words: list[str]) -> CallStep:
    """Running Python as a process."""
    return CallStep(lambda: subprocess.run([sys.executable, *words], capture_output=True, check=True))


@dataclass(frozen=True)
class Comparison:
    """Two things that run in turn, in one process.

    Args:
        what: the one.
        beside: the other.
        subjects: what makes their steps.
    """

    what: str
    beside: str
    subjects: tuple[Subject, ...]


def comparisons() -> Iterator[Comparison]:
    """All of them."""
    for what, spec in SPECS.items():
        subjects = (Subject.of_spec(spec), Subject("benchmarks.composition:of_hand", {"what": what}))
        yield Comparison(f"{what}, from JSON", "by hand", subjects)
    yield Comparison("validate", "", (Subject("benchmarks.composition:of_validate", {}),))
    command = "benchmarks.composition:of_command"
    lines = (["-m", "metricreg.cli", "list"], ["-c", "pass"])
    processes = tuple(Subject(command, {"words": words}) for words in lines)
    yield Comparison("metricreg list", "an empty Python", processes)
