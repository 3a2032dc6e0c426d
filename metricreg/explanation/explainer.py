"""`explain`: one step of a pipeline on random embeddings, of whose many tiles only some are evaluated, is watched.

The engine, the losses and the miners are the real ones, so that this knows as much of a plugin as of what ships. All
tiles of a sweep cost the same but for the first, which makes what all need, and the last, which may be smaller.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial, wraps
from itertools import islice
from typing import Any

import torch

from metricreg import Execution, InputError, Loss, Miner, Pairs, Pipeline, SpecError, build
from metricreg.bench.inputs import Inputs, fit, suited
from metricreg.bench.memory import available
from metricreg.bench.steps import ObjectiveStep
from metricreg.distributed.ranks import shared_by
from metricreg.engine.execution import assume_device, sample_tiles
from metricreg.explanation.cost import Cost, Product, TooLargeError
from metricreg.explanation.explanation import (
    ExplainedLoss,
    ExplainedMiner,
    ExplainedTerm,
    Explanation,
    amount,
)

LIMIT = 2**31
"""Bytes that a step may take, beside 16 times those of embeddings and parameters; half of what is free, if less."""
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
    others taken to cost the same. A step that takes too much memory is not made to its end, and what it takes is at
    least what is said then.

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
    if device not in ("cpu", "cuda"):
        raise InputError(f"device is one of cpu, cuda; got {device!r}")
    place = "cuda" if device == "cuda" and torch.cuda.is_available() else "cpu"
    inputs = Inputs(batch, dim, per_class, classes, dtype, place, references=references)
    pipeline, inputs, size = _built(spec, inputs)
    limit = min(LIMIT + 16 * size, (available() or LIMIT) // 2)
    step = _Step(pipeline, inputs, device, limit)
    complete, cost = step.run(), step.cost
    notes = []
    if device != place:
        notes.append("there is no GPU here: the tiles are a GPU's, and the cost is that of the same tiles on a CPU")
    if not complete:
        notes.append(f"the step needs more than {amount(limit, 1024)}B, and was not tried to its end")
    if not step.losses:  # the miner is what is too large; without it, the plan is known
        pipeline.miner, step.cost = None, Cost(limit)
        step.run()
    if step.miners:
        notes.append("what a miner finds depends on the embeddings, here random ones")
    apart = step.step.tensors.get("ref_embeddings")
    products = [Product(p.shapes, round(p.count), round(p.flop)) for p in cost.products.values()]
    return Explanation(
        batch=batch,
        dim=dim,
        classes=inputs.known,
        references=None if apart is None else len(apart),
        device=device,
        dtype=dtype,
        losses=list(step.losses.values()),
        miners=step.miners,
        products=sorted(products, key=lambda product: (-product.flop, product.shapes)),
        flop=round(sum(product.flop for product in products)),
        moved=round(cost.moved),
        peak=cost.peak,
        complete=complete,
        notes=notes,
    )


def _built(spec: Any, inputs: Inputs) -> tuple[Pipeline, Inputs, int]:
    """A pipeline of its own, the inputs that fit it, and the bytes of embeddings and parameters."""
    if isinstance(spec, Pipeline):
        pipeline = copy.deepcopy(spec)
        inputs = suited(inputs, pipeline)
    else:
        spec, inputs = fit(spec, inputs)
        with torch.device("meta"):
            pipeline = build(spec)
    rows = inputs.batch + (inputs.references or 0)
    size = 4 * (rows * inputs.dim + sum(p.numel() for p in pipeline.parameters()))
    if 2 * size > (free := available() or 2**36):
        need, there = (f"{number / 2**30:.1f} GiB" for number in (2 * size, free))
        raise InputError(f"embeddings, parameters and their gradients need {need}, and this machine has {there} free")
    if not isinstance(spec, Pipeline):
        with torch.random.fork_rng(devices=[]):
            pipeline = build(spec)
    return pipeline.to(inputs.device), inputs, size


class _Step:
    """One step of a pipeline, watched.

    Args:
        pipeline: which is not to be used for anything else from then on.
        inputs: what it is called with.
        device: that is meant; the step takes place where the inputs are.
        limit: bytes that it may take.
    """

    def __init__(self, pipeline: Pipeline, inputs: Inputs, device: str, limit: int) -> None:
        self.step, self.device = ObjectiveStep(pipeline, inputs), device
        self.has_memory = next(pipeline.buffers(), None) is not None
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
                _watch(part, "terms", partial(self._saw_batch, pointer, part), partial(self._saw_terms, pointer))
                _watch(part, "batch_terms", None, partial(self._saw_once, pointer))
            elif isinstance(part, Miner):
                _watch(part, "selection", None, partial(self._saw_selection, pointer, part))

    def run(self) -> bool:
        """Forward and backward, and whether they came to their end."""
        with shared_by(None), assume_device(self.device):
            if self.has_memory:
                self._fill()
            try:
                with sample_tiles(self._some), self.cost:
                    value = self.step.value()
                    self._is_backward = True
                    self.step.differentiate(value)
            except TooLargeError:
                return False
        return True

    def _fill(self) -> None:
        """Make steps until there is no more to compare with than before, as when a memory is filled."""
        compared = -1
        for _ in range(TURNS):
            with sample_tiles(lambda tiles, _: islice(tiles, 1)), torch.no_grad():
                self.step.value()
            before, compared = compared, sum(loss.references for loss in self.losses.values())
            self.losses, self.miners = {}, []
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
        work, middle = _work(bounds), len(bounds) // 2
        self.cost.weight = sum(work[2:-1]) / work[middle]
        yield bounds[middle]
        self.cost.weight = 1
        yield bounds[-1]

    def _saw_batch(self, pointer: str, loss: Loss, batch: Any) -> None:
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

    def _saw_terms(self, pointer: str, terms: Any) -> None:
        seen = self.losses[pointer]
        known = {term.name: term for term in seen.terms}
        for name, term in terms.items() if isinstance(terms, dict) else ():
            if name not in known:
                swept = "backward pass" if seen.plan == "dense" else "forward sweep"
                seen.terms.append(ExplainedTerm(name, getattr(term, "kind", "scalar"), swept))
            elif self._is_backward and torch.is_grad_enabled():
                known[name].gradient = "second sweep"

    def _saw_once(self, pointer: str, terms: Any) -> None:
        seen = self.losses[pointer]
        if terms and not seen.terms:
            seen.why = "nothing of it is a sum over anchors"
        seen.terms += [
            ExplainedTerm(name, getattr(term, "kind", "scalar"), "backward pass") for name, term in terms.items()
        ]

    def _saw_selection(self, pointer: str, miner: Miner, selection: Any) -> None:
        columns = selection.columns()
        if isinstance(selection, Pairs):
            found = {"positive pairs": len(columns[0]), "negative pairs": len(columns[2])}
        else:
            found = {"triplets": len(columns[0])}
        self.miners.append(ExplainedMiner(pointer, _name_of(miner), found))

    def _why(self, seen: ExplainedLoss, loss: Loss) -> str:
        if not loss.reducer.additive:
            return f"the reducer {_name_of(loss.reducer)} has no statistics that add up over anchors"
        if self.execution.plan != "auto":
            why = f"execution.plan is {self.execution.plan}"
        else:
            size = f"{seen.anchors} anchors x {seen.references} references = {amount(seen.anchors * seen.references)}"
            limit = "within the limit" if seen.plan == "dense" else "over the limit"
            why = f"{size.rstrip()} values, {limit} of a {'CPU' if self.device == 'cpu' else 'GPU'}"
        told = seen.plan == "tiled" and self.execution.tile
        return f"{why}; execution.tile is {self.execution.tile}" if told else why


def _watch(part: Any, method: str, before: Callable[[Any], None] | None, after: Callable[[Any], None]) -> None:
    """Have a method of one instance call `before` with what it was given, and `after` with what it gave."""
    original = getattr(part, method)

    @wraps(original)
    def watched(given: Any) -> Any:
        if before is not None:
            before(given)
        out = original(given)
        after(out)
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
