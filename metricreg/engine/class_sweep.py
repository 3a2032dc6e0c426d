"""Logits to very many class vectors, a block of classes at a time.

Unit vectors of a million classes and their gradient take as much memory again as the vectors and theirs. So what is
made of the vectors is made of a block of them, for all anchors: once to sum the exponentials of their logits, and once
more to differentiate them, when the sum of all is known. Four products instead of three, and nothing of the size of all
class vectors but their gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.engine.gradients import Gradients
from metricreg.engine.leaves import packed
from metricreg.engine.tiling import Tiles, saved_by
from metricreg.functional.exclusion import Exclusion
from metricreg.functional.logsumexp import masked_logsumexp
from metricreg.functional.notes import note
from metricreg.functional.observation import observed


class ClassSweep(Tiles):
    """The logits of all anchors of a batch, whose references are one vector a class and whose labels are the classes.

    Args:
        others: the logits to the classes of a batch over a factor, `[A, C]`, each of the class's own vector alone.
        own: those to the classes of the anchors, `[A]`, of a batch and the vectors of those classes `[A, D]`.
        factor: that factor.
        block: classes at a time.
        module: whose parameters and buffers they use.
    """

    def __init__(
        self,
        others: Callable[[Batch], Tensor],
        own: Callable[[Batch, Tensor], Tensor],
        factor: float,
        block: int,
        module: nn.Module,
    ) -> None:
        super().__init__(block, module)
        self.others, self.own, self.factor = others, own, factor

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The log-sum-exp of each anchor's logits to other classes than its own, `[A]`, and the logit to that."""
        held, inputs = self.inputs(batch)
        if inputs:
            return _Classes.apply(self, batch, held, *inputs)  # type: ignore[no-any-return, no-untyped-call]
        return self.forward(batch, held)

    def forward(self, batch: Batch, held: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Both, without a graph."""
        with torch.no_grad(), self.state.holding(held):
            total = batch.anchors.new_full((len(batch),), -torch.inf)
            for rows in self._blocks(batch):
                total = torch.logaddexp(total, self._sum(batch, batch.anchors, batch.references[rows], rows))
            return total, self.own(batch, batch.references[_classes(batch)])

    def backward(
        self, batch: Batch, held: Sequence[Tensor], total: Tensor, of_total: Tensor, of_own: Tensor
    ) -> list[Tensor | None]:
        """The gradients of the inputs, by those of what `forward` gave."""
        names = [leaf.field for leaf in self.leaves]
        parameters = [t for t in {id(t): t for t in held}.values() if t.requires_grad and t.is_floating_point()]
        sums = Gradients([leaf.of(batch) for leaf in self.leaves] + parameters)
        x = batch.anchors.detach().requires_grad_("anchors" in names)

        def differentiate(value: Tensor, vectors: Tensor, given: Tensor, add: Callable[..., None]) -> None:
            inputs = {"anchors": x, "references": vectors}
            leaves = {at: inputs[name] for at, name in enumerate(names) if name in inputs}
            leaves |= dict(enumerate(parameters, len(names)))
            if not (value.requires_grad and leaves):
                return
            found = torch.autograd.grad(value, list(leaves.values()), given, allow_unused=True)
            for (at, leaf), part in zip(leaves.items(), found, strict=True):
                if part is not None:
                    (add if leaf is vectors else sums.add)(at, part)

        with torch.enable_grad(), self.state.holding(held):
            target, wanted = _classes(batch), "references" in names
            vectors = batch.references[target].detach().requires_grad_(wanted)
            own = self.own(batch.replace(anchors=x), vectors)
            differentiate(own, vectors, of_own, partial(sums.add_rows, index=target))
            for rows in self._blocks(batch):
                vectors = batch.references[rows].detach().requires_grad_(wanted)
                part = self._sum(batch, x, vectors, rows)
                share = (part.detach() - total).exp().masked_fill(total.isneginf(), 0.0)
                differentiate(part, vectors, of_total * share, partial(sums.add, rows=rows))
        return sums.each()

    def _blocks(self, batch: Batch) -> Iterator[slice]:
        number = len(batch.references)
        blocks = ((i, min(i + self.tile, number)) for i in range(0, number, self.tile))
        return (slice(i, j) for i, j in observed(blocks, "sums over blocks of classes"))

    def _sum(self, batch: Batch, anchors: Tensor, vectors: Tensor, rows: slice) -> Tensor:
        """The log-sum-exp of the logits to some classes but the own, `[A]`."""
        labels = None if batch.reference_labels is None else batch.reference_labels[rows]
        logits = self.others(batch.replace(anchors=anchors, references=vectors, reference_labels=labels))
        column = (_classes(batch) - rows.start)[:, None]
        outside = (column < 0) | (column >= logits.shape[1])
        column = column.clamp(0, logits.shape[1] - 1)
        mask = torch.ones_like(logits, dtype=torch.bool).scatter_(1, column, outside)
        note(mask, Exclusion(column, outside, ~outside))
        return masked_logsumexp(logits, mask, self.factor)


def _classes(batch: Batch) -> Tensor:
    assert batch.anchor_labels is not None  # checked where the batch is prepared
    return batch.anchor_labels.long()


class _Classes(torch.autograd.Function):
    """Leaves and parameters in, sums and own logits out."""

    @staticmethod
    def forward(
        ctx: Any, sweep: ClassSweep, batch: Batch, held: list[Tensor], *inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        total, own = sweep.forward(batch, held)
        ctx.sweep = sweep
        tensors, ctx.rebuild = packed(batch)
        ctx.save_for_backward(*tensors, *held, total)
        return total, own

    @staticmethod
    def backward(ctx: Any, of_total: Tensor, of_own: Tensor) -> tuple[Tensor | None, ...]:
        batch, (*held, total) = ctx.rebuild(saved_by(ctx))
        with torch.autocast(batch.anchors.device.type, enabled=False):  # as in the forward pass
            return (None, None, None, *ctx.sweep.backward(batch, held, total, of_total, of_own))
