"""A function of a batch, tile by tile: exact in value and gradient, in the memory of a tile.

Each tile runs its forward and its backward at once and is forgotten, so that only gradients of the inputs' own size are
kept. Where one output carries the gradient, or all but one are of few values, gradients are made in the forward pass,
as if that of the output were 1, and scaled in the backward pass: three matrix products. Else, and for outputs that are
rows, the gradients of the outputs are known only in the backward pass, which goes over the tiles once more: four
products, whatever the number of outputs, and none of them for a loss that is never differentiated.

Where ranks share a step, each goes over some of the tiles, and their outputs and gradients are summed up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from metricreg.batch import Batch
from metricreg.distributed.ranks import Ranks, current, shared_by
from metricreg.engine.accumulate import ALL, ALL_OUTPUTS, REFERENCES, Leaves
from metricreg.engine.blocks import Block, blocks_of, blocks_over_ranks
from metricreg.engine.execution import DENSE_HINT, SEPARATE_GRADIENT_RATIO
from metricreg.engine.module_state import held_by, with_state
from metricreg.engine.reference_cache import TileCache
from metricreg.errors import MetricregError
from metricreg.functional.torch_internals import has_hooks, has_tangent

CHANGED_HINT = (
    "the tiled plan looks at its inputs again in the backward pass; clone what changes in place, such as a queue"
)

Output = tuple[Tensor, int]
"""What a function gives of a tile, and of how many values that is made."""


class Sweep:
    """A function of every tile of a batch, whose outputs are summed over the tiles, or are rows of its anchors.

    It holds no tensors: what the backward pass needs is kept by autograd, which notices if it was changed in place, and
    frees it in time.

    Args:
        function: of some anchors against references, pure. Its outputs are sums over pairs or anchors; or (`by_row`)
            one with a row an anchor, and of a symmetric sweep a second one with a row a reference, which are added up.
        tile: anchors a tile.
        module: whose parameters and buffers the function uses.
        by_row: whether outputs are rows.
        symmetric: whether the function is of pairs, and the same with the samples of a pair exchanged. Of a symmetric
            batch only what is on and above the diagonal is then evaluated.
        what: what is made, if it is not the terms of a loss, for those who watch.
        described: what the function made of the last tile, as JSON has it, for ranks to compare.
    """

    def __init__(
        self,
        function: Callable[[Batch], Sequence[Output]],
        tile: int,
        module: nn.Module,
        *,
        by_row: bool = False,
        symmetric: bool = False,
        what: str = "",
        described: Callable[[], Any] = lambda: None,
    ) -> None:
        self.function, self.tile, self.module = function, tile, module
        self.by_row, self.symmetric, self.what = by_row, symmetric, what
        self.described = described
        self.ranks: Ranks | None = None

    def outputs(self, batch: Batch) -> tuple[Tensor, ...]:
        """The sums, or the rows, differentiable with respect to the tensors of the batch and the parameters."""
        tensors, held = batch.tensors(), held_by(self.module)
        self.names, self.held_names = list(tensors), list(held)
        self.rebuild = batch.rebuilder()
        every = [*tensors.values(), *held.values()]
        if any(map(has_tangent, every)):
            raise MetricregError("the tiled plan has no forward-mode derivative; " + DENSE_HINT)
        grad = torch.is_grad_enabled()
        self.wanted = [k for k, tensor in enumerate(every) if grad and tensor.requires_grad]
        self.anchor_shapes = {k: every[k].shape for k in self.wanted if every[k] is batch.anchors}
        self.wanted_like = [(every[k].shape, every[k].dtype) for k in self.wanted]
        ranks = current()
        if ranks is not None and len(blocks_over_ranks(batch, self.tile, self.symmetric, ranks)) >= ranks.size:
            self.ranks = ranks
        if self.wanted:
            return _Tiled.apply(self, *every)  # type: ignore[no-any-return, no-untyped-call]
        with torch.no_grad():
            return tuple(self.run(every)[0])

    def run(
        self, every: Sequence[Tensor], output_gradients: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], dict[int, list[Tensor | None]]]:
        """Go over the tiles once.

        Args:
            every: the tensors of the batch, then those of the module.
            output_gradients: the gradient of each output; None if it is not known yet.

        Returns:
            The outputs; and gradients of what is wanted, that of Σ output_gradient·output under `ALL_OUTPUTS`. Where
            those are not known, that of each output that has one, if this takes hardly more than that of one.
        """
        tensors = dict(zip(self.names, every, strict=False))
        held = dict(zip(self.held_names, every[len(tensors) :], strict=True))
        batch, names = self.rebuild(tensors), [self.names[k] for k in self.wanted if k < len(tensors)]
        batch.list_once()
        grad = bool(self.wanted) and (output_gradients is not None or not self.by_row)
        # hooks on a parameter are to run once, on the whole gradient, and so not on what stands in for it here
        held = {
            name: t.detach().requires_grad_() if t.requires_grad and has_hooks(t) else t for name, t in held.items()
        }
        leaves = Leaves(tensors, names, [t for t in held.values() if t.requires_grad] if self.wanted else [], grad)
        call = with_state(self.module, held)
        outputs: list[Tensor] = []
        sizes: dict[int, int] = {}  # of outputs with a gradient; of all tiles, as one may be without positives, say
        versions = _versions(every)
        for block in self.blocks(batch):
            with torch.set_grad_enabled(grad), shared_by(None):  # other ranks have other blocks
                found = call(self.function, _part(batch, leaves, block))
                if self.by_row and block.multiplicity == 1:  # what it gives of references is of the same rows
                    found = found[:1]
                if grad:
                    _check_sources([value for value, _ in found], leaves.current)
                here = [k for k, (value, _) in enumerate(found) if value.requires_grad]
                sizes |= {k: max(found[k][1], sizes.get(k, 0)) for k in here}
                if grad and output_gradients is None and not _are_separable(found, sizes):
                    grad = False  # the gradients of several outputs are needed, and known only in the backward pass
                if output_gradients is not None and here:
                    given = [self._output_gradient(output_gradients, k, block) for k in here]
                    leaves.add(ALL_OUTPUTS, [found[k][0] for k in here], given)
                elif grad:
                    for k in here:
                        slopes = torch.full_like(found[k][0], block.multiplicity)
                        leaves.add(k, [found[k][0]], [slopes], again=k != here[-1])
            if output_gradients is None:
                self._put(outputs, [value.detach() for value, _ in found], block, batch)
        for name, before, after in zip([*self.names, *self.held_names], versions, _versions(every), strict=True):
            if before != after:
                what = name if isinstance(name, str) else " ".join(filter(None, name))
                raise MetricregError(
                    f"terms changed {what} in place; it is pure, as it sees any anchors any number of times: change "
                    "state in update_buffers"
                )
        if self.ranks is not None and output_gradients is None:
            outputs, sizes, grad = self._summed(self.ranks, outputs, sizes, grad)
        done = [ALL_OUTPUTS] if output_gradients is not None else list(sizes) if grad else []
        return outputs, {output_index: leaves.gradients(output_index) for output_index in done}

    def blocks(self, batch: Batch) -> Iterator[Block]:
        """What is evaluated at a time, by this rank."""
        if self.ranks is None:
            return blocks_of(batch, self.tile, self.symmetric, self.what)
        every = blocks_over_ranks(batch, self.tile, self.symmetric, self.ranks)
        return (every[k] for k in self.ranks.share([block.work(len(batch.references)) for block in every]))

    def _summed(
        self, ranks: Ranks, outputs: list[Tensor], sizes: dict[int, int], grad: bool
    ) -> tuple[list[Tensor], dict[int, int], bool]:
        """The outputs of all ranks, their sizes, and whether all ranks have made gradients."""
        shapes = [[list(t.shape), str(t.dtype)] for t in outputs]
        mine = {"made": [self.described(), shapes], "sizes": list(sizes.items()), "grad": grad}
        everyone = ranks.exchange(f"the sums of {self.what or 'terms'}", mine)
        for rank, each in enumerate(everyone):
            if each["made"] != everyone[0]["made"]:
                raise MetricregError(
                    f"the anchors of rank 0 give {everyone[0]['made']}, and those of rank {rank} {each['made']}: "
                    "statistics are sums over anchors, and every term is there every time, with a weight of zeros "
                    "where it has nothing"
                )
        largest: dict[int, int] = {}
        for k, size in sorted(item for each in everyone for item in each["sizes"]):
            largest[k] = max(size, largest.get(k, 0))
        separable = all(each["grad"] for each in everyone) and _are_separable([(t, 0) for t in outputs], largest)
        return ranks.sum(outputs), largest, grad and separable

    def _output_gradient(self, output_gradients: Sequence[Tensor], k: int, block: Block) -> Tensor:
        if not self.by_row:
            return output_gradients[k] * block.multiplicity
        rows = block.references if k else block.anchors
        return output_gradients[0][rows]

    def _put(self, outputs: list[Tensor], values: list[Tensor], block: Block, batch: Batch) -> None:
        """Add what a tile gave to the outputs."""
        if self.by_row:
            if not outputs:
                outputs.append(values[0].new_zeros(len(batch), *values[0].shape[1:]))
            for rows, value in zip((block.anchors, block.references), values, strict=False):
                outputs[0][rows] += value
        elif outputs:
            outputs[:] = [a + b * block.multiplicity for a, b in zip(outputs, values, strict=True)]
        else:
            outputs[:] = [b * block.multiplicity if block.multiplicity != 1 else b for b in values]


def _versions(tensors: Sequence[Tensor]) -> list[int]:
    """How often each was changed in place; 0 in inference mode, where nobody counts."""
    return [0 if tensor.is_inference() else tensor._version for tensor in tensors]


def _part(batch: Batch, leaves: Leaves, block: Block) -> Batch:
    """The batch of one tile, on leaves of its own."""
    leaves.clear()
    rows, columns = block.anchors, ALL if block.references is None else block.references
    part = batch.rows(rows.start, rows.stop) if block.references is None else batch.block(rows, columns)
    changes: dict[str, Any] = {"per_anchor": dict(part.per_anchor), "shared": dict(part.shared)}
    alone = batch.is_self_comparison
    for name in leaves.inputs:
        owner, key = name
        if name == REFERENCES:
            changes["references"] = leaves.rows(name, columns)
            if alone:  # of equal slices the same object, by which is_self_comparison goes
                changes["anchors"] = leaves.rows(name, rows)
        elif owner in ("per_anchor", "shared"):
            changes[owner][key] = leaves.rows(name, rows if owner == "per_anchor" else ALL)
        else:
            changes[str(owner)] = leaves.rows(name, rows)
    return part.with_tensors(**changes, _cache=TileCache(leaves, rows, columns, alone))


def _are_separable(found: Sequence[Output], sizes: dict[int, int]) -> bool:
    """Whether the gradients of all outputs with one take hardly more than that of the one of the most values.

    Args:
        found: the outputs.
        sizes: of how many values each output with a gradient is made, by its index.
    """
    if any(found[k][0].ndim for k in sizes):
        return False
    ordered = sorted(sizes.values())
    return len(ordered) < 2 or ordered[-2] * SEPARATE_GRADIENT_RATIO <= ordered[-1]


# -- autograd ---------------------------------------------------------------------------------------------------------


class _Tiled(torch.autograd.Function):
    """The tensors of a batch and of a module in, the outputs of a sweep out."""

    @staticmethod
    def forward(ctx: Any, sweep: Sweep, *every: Tensor) -> tuple[Tensor, ...]:
        # hooks around, such as a checkpoint's, are for the whole sweep; detached, as a node that holds its result leaks
        with saved_tensors_hooks(Tensor.detach, _as_it_is):
            outputs, gradients = sweep.run(every)
        ctx.sweep, ctx.output_indices = sweep, list(gradients)
        ctx.mark_non_differentiable(*(t for t in outputs if not t.is_floating_point()))
        saved = [gradient for found in gradients.values() for gradient in found]
        ctx.save_for_backward(*(saved if ctx.output_indices else every))
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *output_gradients: Tensor) -> tuple[Tensor | None, ...]:
        ranks = ctx.sweep.ranks
        with nullcontext() if ranks is None else ranks.telling():
            gradients = _gradients(ctx, output_gradients)
            if ranks is not None:
                gradients = _summed_gradients(ctx.sweep, ranks, gradients, output_gradients[0])
        by_place = dict(zip(ctx.sweep.wanted, gradients, strict=True))
        for k, shape in ctx.sweep.anchor_shapes.items():
            if by_place[k] is None:  # of a loss of nothing that they are: zero, as in the dense plan
                by_place[k] = output_gradients[0].new_zeros(()).expand(shape)
        return (None, *(by_place.get(k) for k in range(len(ctx.needs_input_grad) - 1)))


def _gradients(ctx: Any, output_gradients: Sequence[Tensor]) -> list[Tensor | None]:
    """Of what is wanted: those of the forward pass, weighed; or made now."""
    saved, count = _saved(ctx), len(ctx.sweep.wanted)
    if ctx.output_indices:
        slopes = [output_gradients[k] for k in ctx.output_indices]
        return [_weighed(saved[n::count], slopes) for n in range(count)]
    with torch.enable_grad(), torch.autocast(output_gradients[0].device.type, enabled=False):  # as in the forward pass
        found: list[Tensor | None] = ctx.sweep.run(saved, output_gradients)[1][ALL_OUTPUTS]
    return found


def _summed_gradients(
    sweep: Sweep, ranks: Ranks, gradients: Sequence[Tensor | None], like: Tensor
) -> list[Tensor | None]:
    """The sums over ranks, of which each has those of its blocks."""
    there = ranks.exchange(f"the gradients of {sweep.what or 'terms'}", [part is not None for part in gradients])
    places = [k for k, some in enumerate(zip(*there, strict=True)) if any(some)]
    filled = []
    for k in places:
        part, (shape, dtype) = gradients[k], sweep.wanted_like[k]
        filled.append(like.new_zeros(shape, dtype=dtype) if part is None else part)
    sums = dict(zip(places, ranks.sum(filled), strict=True))
    return [sums.get(k) for k in range(len(gradients))]


def _as_it_is(tensor: Tensor) -> Tensor:
    """A tensor saved for the backward pass, neither packed nor unpacked."""
    return tensor


def _weighed(gradients: Sequence[Tensor | None], output_gradients: Sequence[Tensor]) -> Tensor | None:
    """Σ output_gradientᵢ·gradientᵢ of those that there are."""
    parts = [
        slope * gradient for slope, gradient in zip(output_gradients, gradients, strict=True) if gradient is not None
    ]
    return sum(parts[1:], parts[0]) if parts else None


def _saved(ctx: Any) -> tuple[Tensor, ...]:
    """What the forward pass saved.

    Raises:
        MetricregError: it was changed in place since, or a second derivative is wanted.
    """
    if torch.is_grad_enabled():
        raise MetricregError("the tiled plan has no second derivative; " + DENSE_HINT)
    try:
        saved: tuple[Tensor, ...] = ctx.saved_tensors
    except RuntimeError as error:
        if "inplace" not in str(error):
            raise
        raise MetricregError(f"{error}. {CHANGED_HINT}") from error
    return saved


def _check_sources(outputs: Sequence[Tensor], known: Sequence[Tensor]) -> None:
    """Refuse a gradient that would get lost: of a tensor that is neither in the batch nor a parameter."""
    ids = {id(t) for t in known}
    todo = [value.grad_fn for value in outputs if value.grad_fn is not None]
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
                "parameter of the loss; hand it over in prepare: batch.replace(per_anchor=...) or "
                "batch.replace(shared=...)"
            )
        todo += [following for following, _ in node.next_functions if following is not None]
