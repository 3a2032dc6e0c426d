"""`explain`: one step of a pipeline on random embeddings, of whose many tiles only some are evaluated, is watched.

The engine, the losses and the miners are the real ones, so that this knows as much of a plugin as of what ships. All
tiles of a sweep cost the same but for the first, which makes what all need, and the last, which may be smaller.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial, wraps
from itertools import islice
from typing import Any

import numpy as np
import torch

from metricreg import Execution, InputError, Loss, Miner, Pairs, Pipeline, SpecError, build
from metricreg.bench.inputs import Inputs, fit
from metricreg.bench.steps import ObjectiveStep
from metricreg.engine.execution import as_on, evaluating_only
from metricreg.explanation.cost import Cost, TooLargeError
from metricreg.explanation.explanation import (
    ExplainedLoss,
    ExplainedMiner,
    ExplainedProduct,
    ExplainedTerm,
    Explanation,
    amount,
)

MEMORY = {"cpu": 2**30, "cuda": 2**32}
"""Bytes of a step that is tried at its size, by the device whose tiles it has, beside 16 times those of its inputs."""
TURNS = 1000
"""Most steps until a memory is filled."""


def explain(
    spec: Any,
    *,
    batch: int,
    dim: int,
    classes: int | None = None,
    per_class: int = 4,
    references: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> Explanation:
    """Say how a pipeline is evaluated for inputs of some size, why so, and what it costs.

    One step is made on random embeddings with the real components. Of a tiled plan some tiles are evaluated, and the
    others taken to cost the same.

    Args:
        spec: a spec, a pipeline, a file with a spec or an experiment, such a spec as JSON, or the name of a loss, whose
            required parameters are then made up.
        batch: N, the number of embeddings.
        dim: D, their dimension.
        classes: how many classes there are; what `batch` and `per_class` give, or what the spec says, if None.
        per_class: how many embeddings of each class the batch has; more if there are too few classes.
        references: rows of a separate reference set; the batch itself if None.
        device: `cpu` or `cuda`. Without a GPU, its tiles are tried on the CPU.
        dtype: of the embeddings: `float32`, `float64`, `float16`, `bfloat16`.

    Raises:
        SpecError: a spec that cannot be built.
        InputError: sizes that fit neither it nor this machine.
    """
    if device not in MEMORY:
        raise InputError(f"device is one of {', '.join(MEMORY)}; got {device!r}")
    place = "cuda" if device == "cuda" and torch.cuda.is_available() else "cpu"
    inputs = Inputs(batch, dim, per_class, classes, dtype, place, references=references)
    make, inputs, size = _fitted(spec, inputs)
    notes = []
    if device != place:
        notes.append("there is no GPU here: the tiles are a GPU's, and the cost is that of the same tiles on a CPU")
    limit = MEMORY[device] + 16 * size
    try:
        found = _Step(make(), inputs, device, limit).run()
        losses, miners, cost = list(found.losses.values()), found.miners, found.cost
        flop, moved, peak = cost.flop, cost.moved, cost.peak
    except TooLargeError:
        cost = Cost()
        losses, miners, (flop, moved, peak), largest = _carried_on(make, inputs, device, limit)
        tiled = any(loss.plan == "tiled" for loss in losses)
        notes.append(
            f"too large to be tried here: the cost is carried on from dense steps of up to {largest} embeddings"
            + (", and tiles take less" if tiled else "")
        )
    if miners:
        notes.append("what a miner finds depends on the embeddings, here random ones")
    products = [ExplainedProduct(p.shapes, count, p.flop * count) for p, count in cost.products.items()]
    return Explanation(
        batch=batch,
        dim=dim,
        classes=inputs.known,
        references=inputs.references or (batch if inputs.two_views else None),
        device=device,
        dtype=dtype,
        losses=losses,
        miners=miners,
        products=sorted(products, key=lambda product: (-product.flop, product.shapes)),
        flop=flop,
        moved=moved,
        peak=peak,
        notes=notes,
    )


def _fitted(spec: Any, inputs: Inputs) -> tuple[Callable[[], Pipeline], Inputs, int]:
    """What makes the pipeline anew, the inputs that fit it, and the bytes of embeddings and parameters."""
    if isinstance(spec, Pipeline):
        numbers = [getattr(part, "num_classes", None) for part in spec.modules()]
        inputs = replace(inputs, classes=min([inputs.known, *(n for n in numbers if isinstance(n, int))]))
    else:
        spec, inputs = fit(spec, inputs)

    def make() -> Pipeline:
        with torch.random.fork_rng(devices=[]):
            return copy.deepcopy(spec) if isinstance(spec, Pipeline) else build(spec)

    with torch.device("meta"):
        parts = make()
    own = {part.compared_with for part in parts.modules() if isinstance(part, Loss)}
    entries = (inputs.batch + (inputs.references or 0)) * inputs.dim + sum(p.numel() for p in parts.parameters())
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**36
    if 2 * 4 * entries > room:
        need, there = (f"{size / 2**30:.1f} GiB" for size in (2 * 4 * entries, room))
        raise InputError(f"embeddings, parameters and their gradients need {need}, and this machine has {there}")
    return make, replace(inputs, two_views=bool(own & {"paired references", "own labels"})), 4 * entries


def _carried_on(
    make: Callable[[], Pipeline], inputs: Inputs, device: str, limit: int
) -> tuple[list[ExplainedLoss], list[ExplainedMiner], list[int], int]:
    """What a step would take that is too large: a + b N + c N², from three smaller ones that are dense."""
    count = inputs.batch

    def dense(number: int) -> _Step:
        pipeline = make()
        pipeline.execution = Execution("dense")
        return _Step(pipeline, inputs.sized(number), device, limit).run()

    seen: list[_Step] = []
    while not seen:
        count //= 2
        with suppress(TooLargeError):
            seen = [dense(count)]
    sizes = [count, max(1, count * 3 // 4), max(1, count // 2)]
    seen += [dense(number) for number in sizes[1:]]

    def carry(costs: list[int], degree: int = 2) -> int:
        return max(0, round(float(np.polyval(np.polyfit(sizes, costs, degree), inputs.batch))))

    miners = [
        replace(
            miner, anchors=inputs.batch, found={w: carry([s.miners[i].found[w] for s in seen]) for w in miner.found}
        )
        for i, miner in enumerate(seen[0].miners)
    ]
    plans: dict[str, ExplainedLoss] = {}
    if (alone := make()).miner is not None:  # what it finds may be all that is too large
        alone.miner = None
        with suppress(TooLargeError):
            plans = _Step(alone, inputs, device, limit).run().losses
    losses = []
    for pointer, loss in seen[0].losses.items():
        anchors = carry([step.losses[pointer].anchors for step in seen], 1)
        references = carry([step.losses[pointer].references for step in seen], 1)
        losses.append(plans.get(pointer) or replace(loss, anchors=anchors, references=references, tile=anchors))
    return losses, miners, [carry([getattr(s.cost, name) for s in seen]) for name in ("flop", "moved", "peak")], count


class _Step:
    """One step of a pipeline, watched.

    Args:
        pipeline: which is not to be used for anything else from then on.
        inputs: what it is called with.
        device: that is meant; the step takes place where the inputs are.
        limit: bytes that it may take.
    """

    def __init__(self, pipeline: Pipeline, inputs: Inputs, device: str, limit: int) -> None:
        self.pipeline, self.inputs, self.device = pipeline.to(inputs.device), inputs, device
        self.execution = pipeline.execution or Execution()
        self.cost = Cost(limit)
        self.losses: dict[str, ExplainedLoss] = {}
        self.miners: list[ExplainedMiner] = []
        self._is_backward = False
        self._before: list[tuple[str, int]] = []
        self._tiles: list[tuple[int, int]] = []
        for path, part in pipeline.named_modules():
            pointer = "/" + path.replace(".", "/")
            if isinstance(part, Loss):
                _watch(part, "terms", partial(self._saw_terms, pointer, part))
                _watch(part, "batch_terms", partial(self._saw_once, pointer))
            elif isinstance(part, Miner):
                _watch(part, "selection", partial(self._saw_selection, pointer, part))

    def run(self) -> _Step:
        """Forward and backward."""
        with as_on(self.device):
            if any(True for _ in self.pipeline.buffers()):
                self._settle()
            step = ObjectiveStep(self.pipeline, self.inputs)
            with evaluating_only(self._some), self.cost:
                value = step.value()
                self._is_backward = True
                step.differentiate(value)
        return self

    def _settle(self) -> None:
        """Make steps until there is no more to compare with than before, as when a memory is filled."""
        compared = -1
        for turn in range(1, TURNS):
            with evaluating_only(lambda tiles, _: islice(tiles, 1)), torch.no_grad():
                ObjectiveStep(self.pipeline, replace(self.inputs, seed=turn)).value()
            before, compared = compared, sum(loss.references for loss in self.losses.values())
            self.losses, self.miners, self._before, self._tiles = {}, [], [], []
            if compared <= before:
                return

    def _some(self, tiles: Iterator[tuple[int, int]], what: str) -> Iterator[tuple[int, int]]:
        """The first two tiles of a sweep, one in the middle, which stands for those that are left out, and the last."""
        bounds = list(tiles)
        if not self._is_backward:
            if what:
                self._before.append((what, len(bounds)))
            else:
                self._tiles = bounds
        if len(bounds) <= 4:
            yield from bounds
            return
        yield from bounds[:2]
        products, moved = Counter(self.cost.products), self.cost.moved
        work, middle = _work(bounds), len(bounds) // 2
        yield bounds[middle]
        self.cost.repeat(products, moved, sum(work[2:-1]) / work[middle] - 1.0)
        yield bounds[-1]

    def _saw_terms(self, pointer: str, loss: Loss, batch: Any, terms: Any) -> None:
        references = len(batch.references)
        if not self._is_backward and (pointer not in self.losses or self._tiles):
            tiles, self._tiles = self._tiles, []
            first, last = (tiles[0], tiles[-1]) if tiles else ((0, len(batch)), (0, len(batch)))
            plan = "tiled" if tiles else "dense"
            found = ExplainedLoss(
                pointer, _name_of(loss), last[1], references, plan, first[1] - first[0], max(1, len(tiles))
            )
            found.before, self._before = tuple(self._before), []
            found.why = self._why(found, loss)
            self.losses[pointer] = found
        seen = self.losses[pointer]
        if references != seen.references:  # those of a tile are a part of them where each pair is looked at once
            seen.references, seen.symmetric = seen.anchors, True
            seen.why = self._why(seen, loss)
        known = {term.name: term for term in seen.terms}
        for name, term in terms.items() if isinstance(terms, dict) else ():
            if name not in known:
                swept = "backward pass" if seen.plan == "dense" else "forward sweep"
                seen.terms.append(ExplainedTerm(name, getattr(term, "kind", "scalar"), swept))
            elif self._is_backward and torch.is_grad_enabled():
                known[name].gradient = "second sweep"

    def _saw_once(self, pointer: str, batch: Any, terms: Any) -> None:
        seen = self.losses[pointer]
        if terms and not seen.terms:
            seen.why = "nothing of it is a sum over anchors"
        seen.terms += [
            ExplainedTerm(name, getattr(term, "kind", "scalar"), "backward pass") for name, term in terms.items()
        ]

    def _saw_selection(self, pointer: str, miner: Miner, batch: Any, selection: Any) -> None:
        columns = selection.columns()
        if isinstance(selection, Pairs):
            found = {"positive pairs": len(columns[0]), "negative pairs": len(columns[2])}
        else:
            found = {"triplets": len(columns[0])}
        self.miners.append(ExplainedMiner(pointer, _name_of(miner), found, len(batch)))

    def _why(self, seen: ExplainedLoss, loss: Loss) -> str:
        if not loss.reducer.additive:
            return f"the reducer {_name_of(loss.reducer)} has no statistics that add up over anchors"
        if self.execution.plan != "auto":
            why = f"execution.plan is {self.execution.plan}"
        else:
            size = f"{seen.anchors} anchors x {seen.references} references = {amount(seen.anchors * seen.references)}"
            limit = "within the limit" if seen.plan == "dense" else "over the limit"
            why = f"{size.rstrip()} values, {limit} of a {'CPU' if self.device == 'cpu' else 'GPU'}"
        return (
            f"{why}; execution.tile is {self.execution.tile}" if seen.plan == "tiled" and self.execution.tile else why
        )


def _watch(part: Any, method: str, see: Callable[[Any, Any], None]) -> None:
    """Have a method of one instance call `see` with what it was given and gave."""
    original = getattr(part, method)

    @wraps(original)
    def watched(given: Any) -> Any:
        out = original(given)
        see(given, out)
        return out

    setattr(part, method, watched)


def _work(bounds: list[tuple[int, int]]) -> list[int]:
    """How much there is to do for each tile: less for later anchors where each pair is looked at once."""
    lengths = [j - i for i, j in bounds]
    if len(set(lengths[:-1])) == 1:
        return lengths
    return [length * (bounds[-1][1] - i) for length, (i, _) in zip(lengths, bounds, strict=True)]


def _name_of(component: Any) -> str:
    try:
        return str(component.to_spec()["name"])
    except SpecError:  # not registered
        return type(component).__name__


__all__ = ["explain"]
