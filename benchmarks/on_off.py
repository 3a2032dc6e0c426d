"""What each mechanism of the engine buys: the time of a step without it over that of one with it, and MiB more.

    python -m benchmarks.on_off --batch 256,4096

Each is switched off alone, in a process of its own, and timed in turn with the step as it is. Prints a table in
Markdown, with a dash where a loss does not use a mechanism.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

from torch import Tensor

from benchmarks.suites import INPUTS, ours, spec_of
from metricreg.batch import Batch
from metricreg.bench.inputs import Inputs
from metricreg.bench.measurement import machine
from metricreg.bench.memory import PAGES
from metricreg.bench.steps import spec_step
from metricreg.bench.worker import Worker
from metricreg.components import loss as loss_module
from metricreg.components.logsumexp_loss import LogSumExpLoss
from metricreg.engine import execution, tiled
from metricreg.engine.reference_cache import TileCache
from metricreg.functional import logsumexp, masked, products, safe

LOSSES = ("ntxent", "supcon", "multi_similarity", "contrastive", "triplet_margin", "nca", "arcface")
SMALL = 2048
"""Samples that are enough to see whether a mechanism is used."""


def _prepared(cache: TileCache, batch: Batch, key: Any, make: Any, of: Any = None) -> tuple[Tensor, Tensor]:
    first = (lambda x: x) if of is None else of[1]
    return make(first(batch.anchors)), make(first(batch.references))


def _prepared_at(cache: TileCache, batch: Batch, key: Any, make: Any, index: Tensor) -> tuple[Tensor, Tensor]:
    return make(batch.anchors), make(batch.references)[index]


def _of_references(cache: TileCache, batch: Batch, key: Any, make: Any, of: Any) -> Tensor:
    made: Tensor = make(batch.references if of is None else of[1](batch.references))
    return made


def _always(*given: Any) -> bool:
    return True


def _never(*given: Any) -> bool:
    return False


def _nothing(*given: Any) -> None:
    return None


MECHANISMS: dict[str, list[tuple[Any, str, Callable[..., Any]]]] = {
    "what is made of references, once a step": [
        (TileCache, "prepared", _prepared),
        (TileCache, "prepared_at", _prepared_at),
        (TileCache, "of_references", _of_references),
    ],
    "lists of classmates in place of masks": [(execution, "lists_positives", _never)],
    "half of a symmetric comparison": [(loss_module, "has_mark", _never)],
    "half of the sums over negatives": [(LogSumExpLoss, "logsumexp_by_halves", _nothing)],
    "gradients of several terms in the forward pass": [(tiled, "_are_separable", lambda _, sizes: len(sizes) < 2)],
    "log-sum-exp with its derivative": [(logsumexp, "needs_plain_operations", _always)],
    "sums between bounds with their derivative": [(masked, "needs_plain_operations", _always)],
    "square roots and unit rows with their derivative": [(safe, "needs_plain_operations", _always)],
    "products of rows with themselves": [(products, "needs_plain_operations", _always)],
}
"""What stands in for each where it is switched off: owner, name, replacement."""


def step_without(inputs: Inputs, loss: str, mechanism: str) -> Callable[[], object]:
    """A step of a loss, in a process in which a mechanism stays switched off."""
    for owner, name, replacement in MECHANISMS[mechanism]:
        setattr(owner, name, replacement)
    return ours(loss, inputs)(inputs)


def is_used(loss: str, n: int, mechanism: str) -> bool:
    """Whether a loss goes another way without a mechanism, at a size."""
    inputs = Inputs(min(n, SMALL), **INPUTS.get(loss, {}))
    plan = "tiled" if n * n > execution.CPU_TILE_VALUES else "auto"
    step = spec_step(inputs, spec_of(loss, inputs) | {"execution": {"plan": plan}})
    used = []

    def watched(original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            found = replacement(*given)
            used.append(isinstance(found, tuple | Tensor) or found != original(*given))
            return found

        return call

    with ExitStack() as stack:
        for owner, name, replacement in MECHANISMS[mechanism]:
            stack.enter_context(patch.object(owner, name, watched(getattr(owner, name), replacement)))
        step()
    return any(used)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_off", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", default="256,4096", help="sizes N of a batch, separated by commas")
    parser.add_argument("--loss", default=",".join(LOSSES), help="losses, separated by commas")
    parser.add_argument("--rounds", type=int, default=9, help="of each pair of steps")
    parser.add_argument("--pages", choices=PAGES, default="given back", help="what becomes of freed memory")
    return parser


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    args = arguments().parse_args(given)
    losses, sizes = args.loss.split(","), [int(n) for n in args.batch.split(",")]
    print(f"{machine()['name']}, pages {args.pages}.\n")
    for n in sizes:
        columns = []
        for name in losses:
            columns.append(column(name, n, args.rounds, PAGES[args.pages]))
            print(f"N = {n:,}, {name}: {columns[-1]}", file=sys.stderr, flush=True)
        print(f"| N = {n:,}, without | " + " | ".join(losses) + " |\n|---|" + "---|" * len(losses))
        for mechanism, *cells in zip(MECHANISMS, *columns, strict=True):
            print(f"| {mechanism} | " + " | ".join(cells) + " |")
        print(flush=True)


def column(loss: str, n: int, rounds: int, environment: dict[str, str]) -> list[str]:
    """Of each mechanism the ratio of times, and MiB more: `1.25, +12`."""
    inputs, cells = Inputs(n, **INPUTS.get(loss, {})), []
    with Worker(environment=environment) as on:
        usual = on.prepare(ours(loss, inputs), inputs)["peak"] or 0
        for mechanism in MECHANISMS:
            if not is_used(loss, n, mechanism):
                cells.append("–")
                continue
            with Worker(environment=environment) as off:
                peak = off.prepare(partial(step_without, loss=loss, mechanism=mechanism), inputs)["peak"] or 0
                ratios = [off.time() / on.time() for _ in range(rounds)]
            cells.append(f"{statistics.median(ratios):.2f}, {round((peak - usual) / 2**20):+d}")
    return cells


if __name__ == "__main__":
    main()
