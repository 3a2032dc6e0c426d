"""The tiled plan: statistics and gradients summed over tiles of anchors, in one `autograd.Function`.

Each tile runs its forward and its backward at once and is forgotten, so that only gradients of the inputs' own size are
kept. Where one scalar statistic carries the gradient, its gradient is made with slope 1 in the forward pass and scaled
in the backward pass: three matrix products. Where several do, their slopes are known only in the backward pass, so the
forward pass sums without gradient and the backward pass sweeps once more for Σ slopeᵢ·statisticᵢ: four products,
whatever their number, and none of the four for a loss that is never differentiated. Where several do and all but one
are of few values, each has a gradient of its own in the forward pass. Of a symmetric comparison, what is below the
diagonal is not evaluated: what is above it counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.engine.gradients import weighed_sum
from metricreg.engine.leaves import packed
from metricreg.engine.reduction import Additive, Place, Terms, bound, check_layout, summed
from metricreg.engine.tiling import Tiles, check_sources, saved_by
from metricreg.engine.tracking import Block
from metricreg.functional.observation import observed

SMALLER = 8
"""A term of so many times fewer values than another has its gradient made for itself in the forward pass."""


class Sweep(Tiles):
    """The statistics of all tiles of a batch.

    Args:
        terms: a pure function of some anchors against all references.
        reducer: how each term is reduced; additive.
        tile: anchors a tile.
        module: whose parameters and buffers `terms` uses.
        symmetric: whether statistics are sums over pairs, equal where the samples of a pair are exchanged.
    """

    def __init__(
        self, terms: Callable[[Batch], Terms], reducer: Additive, tile: int, module: nn.Module, symmetric: bool = False
    ) -> None:
        super().__init__(tile, module)
        self.terms, self.reducer, self.symmetric = terms, reducer, symmetric
        self.layout: list[Place] = []

    def totals(self, batch: Batch) -> tuple[Tensor, ...]:
        """The statistics of the whole batch, differentiable with respect to its tensors and the parameters."""
        held, inputs = self.inputs(batch)
        if inputs:
            return _Fold.apply(self, batch, held, *inputs)  # type: ignore[no-any-return, no-untyped-call]
        with torch.no_grad():
            return tuple(self.run(batch, held, None)[0])

    def blocks(self, batch: Batch) -> Iterator[Block]:
        """What is evaluated at a time; of a symmetric comparison, what is on and above the diagonal."""
        if self.symmetric:
            return halves(len(batch), self.tile)
        return (Block(slice(i, j)) for i, j in observed(batch.tiles(self.tile)))

    def run(
        self, batch: Batch, held: Sequence[Tensor], slopes: Sequence[Tensor] | None
    ) -> tuple[list[Tensor], dict[int, list[Tensor | None]] | None]:
        """Sum the statistics over all tiles; with slopes, also the gradient of Σ slopeᵢ·statisticᵢ, under -1.

        An empty list of slopes asks for the gradient of each statistic that carries one, if that takes no more
        products than another sweep would.
        """
        totals: list[Tensor] = []
        differentiate = slopes is not None
        batch.list_once()
        carriers: set[int] = set()  # of all tiles: one without positives, say, may carry less than the next
        with self.tracking(batch, held, slopes is not None) as tracking:
            for block in self.blocks(batch):
                with torch.set_grad_enabled(differentiate):
                    statistics = self._statistics(tracking.part(block), block.times)
                    if not totals:
                        self._check_sizes(batch, statistics)
                        check_sources(statistics, tracking.current)
                    here = [k for k, s in enumerate(statistics) if s.requires_grad]
                    carriers.update(here)
                    if not slopes and not self._separable(statistics, carriers):
                        differentiate = False  # several slopes are needed, and known only in the backward pass
                    if differentiate and here:
                        sums = _carried(statistics, here, slopes or ())
                        for place, (k, value) in enumerate(sums.items(), 1):
                            tracking.add(k, value, again=place < len(sums))
                done = [s.detach() for s in statistics]
                totals = [a + b for a, b in zip(totals, done, strict=True)] if totals else done
        return totals, tracking.gradients() if differentiate else None

    def _separable(self, statistics: list[Tensor], carriers: set[int]) -> bool:
        """Whether the gradients of all carriers together take hardly more than that of the one of the most values."""
        if any(statistics[k].ndim for k in carriers):
            return False
        sizes = sorted(
            place.size for place in self.layout for k in carriers if k in range(*place.span.indices(len(statistics)))
        )
        return len(sizes) < 2 or sizes[-2] * SMALLER <= sizes[-1]

    def _statistics(self, part: Batch, times: int = 1) -> list[Tensor]:
        statistics: list[Tensor] = []
        layout = []
        for name, term in bound(self.terms(part), part, self.terms).items():
            finalizer, given = summed(name, term, self.reducer)
            size = term.size if isinstance(term, Term) else max(s.numel() for s in given)
            layout.append(Place(finalizer, len(statistics), tuple(s.shape for s in given), size))
            statistics += given if times == 1 else [s * times for s in given]
        check_layout(self.layout, layout)
        self.layout = layout
        return statistics

    def _check_sizes(self, batch: Batch, statistics: list[Tensor]) -> None:
        """Look at one anchor more or less where a statistic might be a value an anchor, which no sum is."""
        size = min(self.tile, len(batch))
        if len(batch) > 1 and any(size in s.shape for s in statistics):
            with torch.no_grad():
                self._statistics(batch.rows(0, size - 1 if size > 1 else 2))


def halves(number: int, tile: int, what: str = "") -> Iterator[Block]:
    """What is on and above the diagonal of a symmetric comparison.

    Args:
        number: of anchors.
        tile: anchors of the first run.
        what: what is made of it, as for `observed`.
    """
    for i, j in observed(triangle(number, tile), what):
        yield Block(slice(i, j), slice(i, j))
        if j < number:
            yield Block(slice(i, j), slice(j, number), times=2)


def triangle(number: int, tile: int) -> Iterator[tuple[int, int]]:
    """Runs of the anchors of a symmetric comparison: later ones have fewer references, and so are up to twice as long.

    Args:
        number: of anchors.
        tile: anchors of the first run.
    """
    i = 0
    while i < max(number, 1):
        j = min(number, i + min(2 * tile, tile * number // max(number - i, 1)))
        yield i, j
        i = max(j, 1)


def _carried(statistics: list[Tensor], carriers: list[int], slopes: Sequence[Tensor]) -> dict[int, Tensor]:
    """Σ slopeᵢ·statisticᵢ over the carriers, under -1; without slopes, each of them."""
    sums = {k: (slopes[k] * statistics[k]).sum() if slopes else statistics[k] for k in carriers}
    if not slopes:
        return sums
    first, *others = sums.values()
    return {-1: sum(others, first)}


class _Fold(torch.autograd.Function):
    """Leaves and parameters in, totals of the statistics out."""

    @staticmethod
    def forward(ctx: Any, sweep: Sweep, batch: Batch, held: list[Tensor], *inputs: Tensor) -> tuple[Tensor, ...]:
        # hooks around, such as a checkpoint's, are for the whole fold; detached, as a node that holds its result leaks
        with saved_tensors_hooks(Tensor.detach, _as_it_is):
            totals, gradients = sweep.run(batch, held, ())
        ctx.carriers = None if gradients is None else list(gradients)
        ctx.mark_non_differentiable(*(t for t in totals if not t.is_floating_point()))
        if gradients is not None:
            ctx.save_for_backward(*(gradient for found in gradients.values() for gradient in found))
        else:
            ctx.sweep = sweep
            tensors, ctx.rebuild = packed(batch)
            ctx.save_for_backward(*tensors, *held)
        return tuple(totals)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        saved = saved_by(ctx)
        if ctx.carriers is not None:
            count = len(ctx.needs_input_grad) - 3
            found = [saved[n::count] for n in range(count)]
            return (None, None, None, *(weighed_sum(parts, [slopes[k] for k in ctx.carriers]) for parts in found))
        batch, held = ctx.rebuild(saved)
        with torch.autocast(batch.anchors.device.type, enabled=False):  # as in the forward pass
            _, gradients = ctx.sweep.run(batch, held, slopes)
        return (None, None, None, *gradients.get(-1, [None] * (len(ctx.needs_input_grad) - 3)))


def _as_it_is(tensor: Tensor) -> Tensor:
    """A tensor saved for the backward pass, neither packed nor unpacked."""
    return tensor
