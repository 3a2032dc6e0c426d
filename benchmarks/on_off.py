"""What each mechanism of the engine buys: a step without it, over one with it.

    python -m benchmarks.on_off --batch 256,4096

Each is switched off alone, in a process of its own, and timed in turn with the step as it is. Prints a table in
Markdown.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.suites import INPUTS, ours
from metricreg.batch import Batch
from metricreg.bench.inputs import Inputs
from metricreg.bench.measurement import in_turn, machine
from metricreg.bench.memory import PAGES
from metricreg.bench.worker import Worker
from metricreg.components import loss as loss_module
from metricreg.components.negatives_loss import NegativesLoss
from metricreg.engine import execution, tiled
from metricreg.engine.reference_cache import TileCache
from metricreg.functional import logsumexp, masked, products, safe

LOSSES = ("ntxent", "supcon", "multi_similarity", "contrastive", "triplet_margin", "nca", "arcface")


def _both(cache: TileCache, batch: Batch, key: Any, make: Any, of: Any = None) -> tuple[Tensor, Tensor]:
    first = (lambda x: x) if of is None else of[1]
    return make(first(batch.anchors)), make(first(batch.references))


def _listed(cache: TileCache, batch: Batch, key: Any, make: Any, index: Tensor) -> tuple[Tensor, Tensor]:
    return make(batch.anchors), make(batch.references)[index]


def _whole(cache: TileCache, batch: Batch, key: Any, make: Any, of: Any) -> Tensor:
    made: Tensor = make(batch.references if of is None else of[1](batch.references))
    return made


def _plain_logsumexp(values: Tensor, rows: Any, columns: Any, entries: Any, scale: float) -> tuple[Tensor, None]:
    if rows is not None:
        entries = torch.ones_like(values, dtype=torch.bool).index_put(
            (rows, columns), torch.zeros((), dtype=torch.bool)
        )
    return logsumexp._plain(values, ~values.isneginf() if entries is None else entries, scale), None


def _plain_sums(
    values: Tensor, rows: Any, columns: Any, entries: Any, low: float | None, high: float | None
) -> tuple[Tensor, Tensor, None]:
    kept = torch.ones_like(values, dtype=torch.bool) if entries is None else entries
    if rows is not None:
        kept = kept.index_put((rows, columns), torch.zeros((), dtype=torch.bool))
    kept = kept if low is None else kept & ~(values <= low)
    kept = kept if high is None else kept & ~(values >= high)
    return torch.where(kept, values, 0.0).sum(1), kept.sum(1), None


def _plain_root(squares: Tensor, least: Tensor) -> Tensor:
    low = squares <= least
    return squares.masked_fill(low, 1.0).sqrt().masked_fill(low, 0.0)


def _plain_units(x: Tensor) -> tuple[Tensor, None]:
    norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / norms.masked_fill(norms <= safe.SHORTEST, 1.0), None


MECHANISMS: dict[str, list[tuple[Any, str, Any]]] = {
    "what is made of references, once a step": [
        (TileCache, "both", _both),
        (TileCache, "listed", _listed),
        (TileCache, "whole", _whole),
    ],
    "lists of classmates in place of masks": [(execution, "lists_positives", lambda _: False)],
    "half of a symmetric comparison": [(loss_module, "promises", lambda *_: False)],
    "half of the sums over negatives": [(NegativesLoss, "summed_once", lambda *_: None)],
    "small terms differentiated in the forward pass": [(tiled, "SMALLER", 2**62)],
    "log-sum-exp with its derivative": [(logsumexp._LogSumExp, "apply", _plain_logsumexp)],
    "sums between bounds with their derivative": [(masked._SumsBetween, "apply", _plain_sums)],
    "square root with its derivative": [(safe._SafeSqrt, "apply", _plain_root)],
    "unit rows with their derivative": [(safe._UnitRows, "apply", _plain_units)],
    "products of rows with themselves": [(products._OwnProducts, "apply", lambda x: x @ x.mT)],
}
"""What stands in for each where it is switched off: owner, name, replacement."""


def step_without(inputs: Inputs, loss: str, mechanism: str) -> Callable[[], object]:
    """A step of a loss, in a process in which a mechanism stays switched off."""
    for owner, name, replacement in MECHANISMS[mechanism]:
        setattr(owner, name, replacement)
    return ours(loss, inputs)(inputs)


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.on_off", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--batch", default="256,4096", help="sizes N of a batch, separated by commas")
    parser.add_argument("--loss", default=",".join(LOSSES), help="losses, separated by commas")
    parser.add_argument("--rounds", type=int, default=9, help="of each pair of steps")
    parser.add_argument("--pages", choices=PAGES, default="given back", help="what becomes of freed memory")
    args = parser.parse_args(given)
    losses, sizes = args.loss.split(","), [int(n) for n in args.batch.split(",")]
    print(f"Time without, over time with; {machine()['name']}; pages {args.pages}.\n")
    print("| N | mechanism | " + " | ".join(losses) + " |\n|---|---|" + "---|" * len(losses))
    for n in sizes:
        for mechanism in MECHANISMS:
            cells = [_ratio(name, n, mechanism, args) for name in losses]
            print(f"| {n} | {mechanism} | " + " | ".join(f"{c:.2f}" for c in cells) + " |", flush=True)


def _ratio(name: str, n: int, mechanism: str, args: argparse.Namespace) -> float:
    inputs = Inputs(n, **INPUTS.get(name, {}))
    environment = PAGES[args.pages]
    with Worker(environment=environment) as on, Worker(environment=environment) as off:
        on.prepare(ours(name, inputs), inputs)
        off.prepare(partial(step_without, loss=name, mechanism=mechanism), inputs)
        times, _ = in_turn({"on": on.time, "off": off.time}, args.rounds, 600.0)
    return statistics.median(b / a for a, b in zip(times["on"], times["off"], strict=True))


if __name__ == "__main__":
    main()
