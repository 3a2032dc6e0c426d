"""Values of rows, tile by tile, made again in the backward pass: what a loss needs to know of other rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.engine.leaves import packed
from metricreg.engine.tiling import Tiles, check_sources, saved_by
from metricreg.engine.tracking import Block, Tracking
from metricreg.errors import MetricregError
from metricreg.functional.observation import observed


class RowSweep(Tiles):
    """A function of each tile of a batch.

    Args:
        function: of some anchors against all references, pure; a tensor with a row an anchor.
        tile: anchors a tile.
        module: whose parameters and buffers the function uses.
    """

    def __init__(self, function: Callable[[Batch], Tensor], tile: int, module: nn.Module) -> None:
        super().__init__(tile, module)
        self.function = function

    def values(self, batch: Batch) -> Tensor:
        """The values of all anchors, `[A, ...]`, differentiable."""
        held, inputs = self.inputs(batch)
        if inputs:
            return _Rows.apply(self, batch, held, *inputs)  # type: ignore[no-any-return, no-untyped-call]
        return self.forward(batch, held)

    def forward(self, batch: Batch, held: list[Tensor]) -> Tensor:
        """The values, without a graph."""
        found: Tensor | None = None
        batch.list_once()
        with torch.no_grad(), self.tracking(batch, held, False) as tracking:
            for (i, j), part in self._parts(batch, tracking):
                values = self.function(part)
                if values.shape[:1] != (j - i,):
                    raise MetricregError(
                        f"a function given to Batch.map returned {list(values.shape)} for {j - i} anchors; expected a "
                        "row an anchor"
                    )
                found = values.new_zeros(len(batch), *values.shape[1:]) if found is None else found
                found[i:j] = values
        assert found is not None  # of an empty batch, too, there is a tile
        return found

    def backward(self, batch: Batch, held: list[Tensor], upstream: Tensor) -> list[Tensor | None]:
        """The gradients of the inputs."""
        batch.list_once()
        with torch.enable_grad(), self.tracking(batch, held, True) as tracking:
            for (i, j), part in self._parts(batch, tracking):
                values = self.function(part)
                if i == 0:
                    check_sources([values], tracking.current)
                if values.requires_grad:
                    tracking.add(0, values, upstream[i:j])
        return tracking.gradients().get(0, [None] * tracking.number)

    def _parts(self, batch: Batch, tracking: Tracking) -> Any:
        return (
            ((i, j), tracking.part(Block(slice(i, j)))) for i, j in observed(batch.tiles(self.tile), "values of rows")
        )


class _Rows(torch.autograd.Function):
    """Leaves and parameters in, values of rows out."""

    @staticmethod
    def forward(ctx: Any, sweep: RowSweep, batch: Batch, held: list[Tensor], *inputs: Tensor) -> Tensor:
        found = sweep.forward(batch, held)
        ctx.sweep = sweep
        tensors, ctx.rebuild = packed(batch)
        ctx.save_for_backward(*tensors, *held)
        return found

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        batch, held = ctx.rebuild(saved_by(ctx))
        with torch.autocast(batch.anchors.device.type, enabled=False):  # as in the forward pass
            return (None, None, None, *ctx.sweep.backward(batch, held, upstream))
