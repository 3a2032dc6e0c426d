"""The named suites: which losses are measured on which inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from benchmarks.peers import case_of, counterparts
from metricreg import default_registry
from metricreg.bench.inputs import Inputs
from metricreg.components.proxy_loss import ProxyLoss

FACES = ["arcface", "cosface", "normalized_softmax", "proxy_anchor", "proxy_nca"]


@dataclass(frozen=True)
class Row:
    """One thing to measure.

    Args:
        loss: a name.
        inputs: on what.
        peer: beside pytorch-metric-learning, where it has the loss.
        memory: and its memory.
        sync: and whether it waits for the GPU.
    """

    loss: str
    inputs: Inputs
    peer: bool = True
    memory: bool = True
    sync: bool = False


def losses() -> list[str]:
    """Every loss that ships, those with class vectors last."""
    return sorted((e.name for e in default_registry() if e.kind == "loss" and e.distribution == "metricreg"), key=_rank)


def pairs() -> list[str]:
    """Every loss on pairs and triplets that ships."""
    return [name for name in losses() if _rank(name) == 0]


def _rank(name: str) -> int:
    if issubclass(default_registry().get("loss", name), ProxyLoss):
        return 2
    return 1 if case_of(name).inputs.get("two_views") else 0


def with_peer(names: list[str]) -> list[str]:
    """Those that pytorch-metric-learning has too; all where it is not installed."""
    return [name for name in names if name in counterparts() or not counterparts()]


def issue() -> Iterator[Row]:
    """Every loss on a batch of 4096."""
    for name in losses():
        yield Row(name, Inputs(4096, 256, 4))


def small() -> Iterator[Row]:
    """Every loss that PML has on small batches, where a loss costs what its calls cost."""
    for n in (128, 256):
        for name in with_peer(losses()):
            yield Row(name, Inputs(n, 256, 4), memory=False)


def large() -> Iterator[Row]:
    """Every loss on pairs and triplets on a batch of 32768."""
    for name in pairs():
        yield Row(name, Inputs(32768, 256, 4), peer=False)


def growth() -> Iterator[Row]:
    """Every loss on pairs and triplets that PML has, from small batches to large ones."""
    for dim, per_class in ((128, 4), (128, 16), (512, 4), (512, 16)):
        step = 2 if (dim, per_class) == (128, 4) else 4
        for name in with_peer(pairs()):
            n = 128
            while n <= 32768:
                yield Row(name, Inputs(n, dim, per_class))
                n *= step


def classes() -> Iterator[Row]:
    """Losses with class vectors, from a thousand classes to a million."""
    for name in FACES:
        for count in (1_000, 10_000, 100_000, 1_000_000):
            yield Row(name, Inputs(1024, 128, 4, count))


def gpu() -> Iterator[Row]:
    """What a GPU is for: half precision on 32768 samples, and all triplets of 8192."""
    for name in ("ntxent", "supcon", "multi_similarity"):
        yield Row(name, Inputs(32768, 512, 4, dtype="bfloat16"), sync=True)
    yield Row("triplet_margin", Inputs(8192, 128, 4), sync=True)


SUITES = {"issue": issue, "small": small, "large": large, "growth": growth, "classes": classes, "gpu": gpu}
QUICK = ("triplet_margin", "ntxent", "arcface")


def quick(rows: Iterator[Row]) -> Iterator[Row]:
    """Few rows of each suite, made small: whether the harness works, and no more."""
    seen = set()
    for row in rows:
        inputs = row.inputs
        made = replace(
            inputs,
            batch=min(inputs.batch, 128),
            dim=min(inputs.dim, 8),
            classes=None if inputs.classes is None else min(inputs.classes, 50),
        )
        if row.loss in QUICK and (row.loss, made) not in seen:
            seen.add((row.loss, made))
            yield replace(row, inputs=made)
