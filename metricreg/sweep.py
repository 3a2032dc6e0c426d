"""The tiled plan: statistics and gradients summed over tiles of anchors, in one `autograd.Function`.

Each tile runs its forward and its backward at once and is forgotten, so that only gradients of the inputs' own size are
kept. Where one scalar statistic carries the gradient, its gradient is made with slope 1 in the forward pass and scaled
in the backward pass: three matrix products. Where several do, their slopes are known only in the backward pass, so the
forward pass sums without gradient and the backward pass sweeps once more for Σ slopeᵢ·statisticᵢ: four products,
whatever their number, and none of the four for a loss that is never differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks

from metricreg.batch import Batch
from metricreg.errors import MetricregError
from metricreg.gradients import Gradients, weighed_sum
from metricreg.module_state import ModuleState
from metricreg.reduction import Additive, Place, Terms, bound, check_layout, summed
from metricreg.term import Term

USE_DENSE = 'build with "execution": {"plan": "dense"}, or call with execution=Execution(\'dense\')'
SMALLER = 8
"""A term of so many times fewer values than another has its gradient made for itself in the forward pass."""
CHANGED = "the tiled plan looks at its inputs again in the backward pass; clone what changes in place, such as a queue"


@dataclass(frozen=True)
class _Leaf:
    """A tensor of the prepared batch that wants a gradient: which field, which key of it, and whether it has rows."""

    field: str
    key: str | None
    by_row: bool

    def of(self, batch: Batch) -> Tensor:
        found: Any = getattr(batch, self.field)
        value: Tensor = found if self.key is None else found[self.key]
        return value


class Sweep:
    """All tiles of a batch.

    It holds no tensors: what the backward pass needs is kept by autograd, which notices if it was changed in place,
    and frees it in time.

    Args:
        terms: a pure function of some anchors against all references.
        reducer: how each term is reduced; additive.
        tile: anchors a tile.
        module: whose parameters and buffers `terms` uses.
    """

    def __init__(self, terms: Callable[[Batch], Terms], reducer: Additive, tile: int, module: nn.Module) -> None:
        self.terms, self.reducer, self.tile = terms, reducer, tile
        self.state = ModuleState(module)
        self.layout: list[Place] = []
        self.leaves: list[_Leaf] = []

    def totals(self, batch: Batch) -> tuple[Tensor, ...]:
        """The statistics of the whole batch, differentiable with respect to its tensors and the parameters."""
        held = self.state.tensors()
        if any(map(_has_tangent, [batch.anchors, *(leaf.of(batch) for leaf in _leaves_of(batch)), *held])):
            raise MetricregError("the tiled plan has no forward-mode derivative; " + USE_DENSE)
        if torch.is_grad_enabled():
            self.leaves = [leaf for leaf in _leaves_of(batch) if _wants_gradient(leaf.of(batch))]
            inputs = self._inputs(batch, held)
            if inputs:
                return _Fold.apply(self, batch, held, *inputs)  # type: ignore[no-any-return, no-untyped-call]
        with torch.no_grad():
            return tuple(self.run(batch, held, None)[0])

    def _tracks_anchors(self, batch: Batch) -> bool:
        """Whether the anchors of a tile are a leaf of their own beside the references, of which they are rows."""
        return _alone(batch) and bool(self.leaves) and self.leaves[0].field == "references"

    def _inputs(self, batch: Batch, held: Sequence[Tensor]) -> list[Tensor]:
        return [leaf.of(batch) for leaf in self.leaves] + _parameters(held)

    def run(
        self, batch: Batch, held: Sequence[Tensor], slopes: Sequence[Tensor] | None
    ) -> tuple[list[Tensor], dict[int, list[Tensor | None]] | None]:
        """Sum the statistics over all tiles; with slopes, also the gradient of Σ slopeᵢ·statisticᵢ, under -1.

        An empty list of slopes asks for the gradient of each statistic that carries one, if that takes no more
        products than another sweep would.
        """
        totals: list[Tensor] = []
        # hooks on a parameter are to run once, on the whole gradient, and so not on what stands in for it here
        hooked = [p for p in _parameters(held) if p._backward_hooks]
        stand_ins = {id(p): p.detach().requires_grad_(slopes is not None) for p in hooked}
        parameters = [stand_ins.get(id(p), p) for p in _parameters(held)]
        inputs, by_row = self._inputs(batch, held), [leaf.by_row for leaf in self.leaves]
        gradients: dict[int, Gradients] | None = None if slopes is None else {}
        carriers: set[int] = set()  # of all tiles: one without positives, say, may carry less than the next
        with self.state.holding([stand_ins.get(id(t), t) for t in held]):
            for i, j in batch.tiles(self.tile):
                with torch.set_grad_enabled(gradients is not None):
                    tracked, part = self._track(batch, i, j)
                    statistics = self._statistics(part)
                    if i == 0:
                        self._check_sizes(batch, statistics)
                        _check_sources(statistics, [*tracked, *parameters])
                    if gradients is not None:
                        here = [k for k, s in enumerate(statistics) if s.requires_grad]
                        carriers.update(here)
                        if not slopes and not self._separable(statistics, carriers):
                            gradients = None  # several slopes are needed, and they are known only in the backward pass
                        elif here:
                            for k, found in _differentiated(statistics, here, slopes or (), [*tracked, *parameters]):
                                if k not in gradients:
                                    gradients[k] = Gradients(inputs, by_row, self._tracks_anchors(batch))
                                gradients[k].add(found, i, j)
                done = [s.detach() for s in statistics]
                totals = [a + b for a, b in zip(totals, done, strict=True)] if totals else done
        return totals, None if gradients is None else {k: found.totals for k, found in gradients.items()}

    def _separable(self, statistics: list[Tensor], carriers: set[int]) -> bool:
        """Whether the gradients of all carriers together take hardly more than that of the one of the most values."""
        if any(statistics[k].ndim for k in carriers):
            return False
        sizes = sorted(
            place.size for place in self.layout for k in carriers if k in range(*place.span.indices(len(statistics)))
        )
        return len(sizes) < 2 or sizes[-2] * SMALLER <= sizes[-1]

    def _track(self, batch: Batch, i: int, j: int) -> tuple[list[Tensor], Batch]:
        """The batch of one tile, on leaves of its own, and those leaves."""
        grad = torch.is_grad_enabled()
        part = batch.rows(i, j)
        changes: dict[str, Any] = {"row": dict(part.row), "whole": dict(part.whole)}
        tracked = []
        for leaf in self.leaves:
            value = leaf.of(batch)
            fresh = (value[i:j] if leaf.by_row else value).detach().requires_grad_(grad)
            tracked.append(fresh)
            if leaf.key is None:
                changes[leaf.field] = fresh
            else:
                changes[leaf.field][leaf.key] = fresh
        if self._tracks_anchors(batch):
            changes["anchors"] = batch.anchors[i:j].detach().requires_grad_(grad)
            tracked.append(changes["anchors"])
        fresh_part = part.replace(**changes)
        fresh_part._memo.update(part._memo)
        return tracked, fresh_part

    def _statistics(self, part: Batch) -> list[Tensor]:
        statistics: list[Tensor] = []
        layout = []
        for name, term in bound(self.terms(part), part, self.terms).items():
            finalizer, given = summed(name, term, self.reducer)
            size = term.size if isinstance(term, Term) else max(s.numel() for s in given)
            layout.append(Place(finalizer, len(statistics), tuple(s.shape for s in given), size))
            statistics += given
        check_layout(self.layout, layout)
        self.layout = layout
        return statistics

    def _check_sizes(self, batch: Batch, statistics: list[Tensor]) -> None:
        """Look at one anchor more or less where a statistic might be a value an anchor, which no sum is."""
        size = min(self.tile, len(batch))
        if len(batch) > 1 and any(size in s.shape for s in statistics):
            with torch.no_grad():
                self._statistics(self._track(batch, 0, size - 1 if size > 1 else 2)[1])


def _differentiated(
    statistics: list[Tensor], carriers: list[int], slopes: Sequence[Tensor], leaves: list[Tensor]
) -> Iterator[tuple[int, list[Tensor | None]]]:
    """The gradient of Σ slopeᵢ·statisticᵢ over the carriers, under -1; without slopes, that of each."""
    sums = {k: (slopes[k] * statistics[k]).sum() if slopes else statistics[k] for k in carriers}
    if slopes:
        first, *others = sums.values()
        sums = {-1: sum(others, first)}
    for place, (k, value) in enumerate(sums.items(), 1):
        yield k, list(torch.autograd.grad(value, leaves, allow_unused=True, retain_graph=place < len(sums)))


def _check_sources(statistics: list[Tensor], known: list[Tensor]) -> None:
    """Refuse a gradient that would get lost: of a tensor that is neither in the batch nor a parameter."""
    ids = {id(t) for t in known}
    todo = [s.grad_fn for s in statistics if s.grad_fn is not None]
    seen = {t.grad_fn for t in known}
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        source = getattr(node, "variable", None)  # of a node that accumulates into a leaf
        if source is not None and id(source) not in ids:
            raise MetricregError(
                f"terms uses a tensor {list(source.shape)} that wants a gradient and is neither in the batch nor a "
                "parameter of the loss; hand it over in prepare: batch.replace(row=...) or batch.replace(whole=...)"
            )
        todo += [following for following, _ in node.next_functions if following is not None]


def _alone(batch: Batch) -> bool:
    """Whether a batch is compared with itself."""
    return batch.anchors is batch.references


def _leaves_of(batch: Batch) -> Iterator[_Leaf]:
    yield _Leaf("references", None, False)
    if not _alone(batch):
        yield _Leaf("anchors", None, True)
    if batch.weights is not None:
        yield _Leaf("weights", None, True)
    yield from (_Leaf("row", key, True) for key in batch.row)
    yield from (_Leaf("whole", key, False) for key in batch.whole)


def _has_tangent(tensor: Tensor) -> bool:
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def _wants_gradient(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.requires_grad


def _parameters(held: Sequence[Tensor]) -> list[Tensor]:
    return list({id(t): t for t in held if _wants_gradient(t)}.values())


class _Fold(torch.autograd.Function):
    """Leaves and parameters in, totals of the statistics out."""

    @staticmethod
    def forward(ctx: Any, sweep: Sweep, batch: Batch, held: list[Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        with saved_tensors_hooks(_as_it_is, _as_it_is):  # those around, such as a checkpoint's, are for the whole fold
            totals, gradients = sweep.run(batch, held, ())
        ctx.carriers = None if gradients is None else list(gradients)
        ctx.mark_non_differentiable(*(t for t in totals if not t.is_floating_point()))
        if gradients is not None:
            ctx.save_for_backward(*(gradient for found in gradients.values() for gradient in found))
        else:
            ctx.sweep = sweep
            tensors, ctx.rebuild = _packed(batch)
            ctx.save_for_backward(*tensors, *held)
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise MetricregError("the tiled plan has no second derivative; " + USE_DENSE)
        try:
            saved = ctx.saved_tensors
        except RuntimeError as error:
            if "inplace" not in str(error):
                raise
            raise MetricregError(f"{error}. {CHANGED}") from error
        if ctx.carriers is not None:
            count = len(ctx.needs_input_grad) - 3
            found = [saved[n::count] for n in range(count)]
            return (None, None, None, *(weighed_sum(parts, [slopes[k] for k in ctx.carriers]) for parts in found))
        batch, held = ctx.rebuild(saved)
        with torch.autocast(batch.anchors.device.type, enabled=False):  # as in the forward pass
            _, gradients = ctx.sweep.run(batch, held, slopes)
        return (None, None, None, *gradients.get(-1, [None] * (len(ctx.needs_input_grad) - 3)))


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _packed(batch: Batch) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], tuple[Batch, list[Tensor]]]]:
    """The tensors of a batch, each once, and how to make it again from them and what else was saved after them."""
    tensors: list[Tensor] = []
    places: dict[int, int] = {}

    def place(tensor: Tensor) -> int:
        if id(tensor) not in places:
            places[id(tensor)] = len(tensors)
            tensors.append(tensor)
        return places[id(tensor)]

    single = {f.name: place(v) for f in fields(batch) if isinstance(v := getattr(batch, f.name), Tensor)}
    named = {name: {k: place(v) for k, v in getattr(batch, name).items()} for name in ("row", "whole")}
    selection, match = batch.selection, batch.match
    columns = [] if selection is None else [place(column) for column in selection.columns()]
    count = len(tensors)
    empty = None if selection is None else selection.with_columns([c[:0] for c in selection.columns()])

    def rebuild(saved: Sequence[Tensor]) -> tuple[Batch, list[Tensor]]:
        changes: dict[str, Any] = {name: saved[at] for name, at in single.items()}
        changes |= {name: {k: saved[at] for k, at in keys.items()} for name, keys in named.items()}
        changes["selection"] = None if empty is None else empty.with_columns([saved[at] for at in columns])
        return Batch(**changes, match=match), list(saved[count:])

    return tensors, rebuild
