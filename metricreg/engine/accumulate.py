"""The leaves of the tiles of a sweep, and their gradients, summed over the tiles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from metricreg.batch.batch import Made

Name = tuple[Any, Any]
ALL = slice(None)
REFERENCES: Name = ("references", "")
ALL_OUTPUTS = -1
"""In the place of the index of an output: the gradient of Σ output_gradient·output."""


class Leaves:
    """What a sweep differentiates: rows of its inputs, and of what is made of the references once for all tiles.

    Args:
        tensors: the tensors of the batch, by name.
        wanted: the names of those that want a gradient.
        parameters: what else does.
        grad: whether this sweep differentiates.
    """

    def __init__(
        self,
        tensors: Mapping[tuple[str, str], Tensor],
        wanted: Sequence[Name],
        parameters: Sequence[Tensor],
        grad: bool,
    ) -> None:
        self.grad, self.parameters = grad, list(parameters)
        self.inputs = {name: tensors[name].detach().requires_grad_(grad) for name in wanted}
        self._tensors: dict[Name, Tensor] = {**tensors, **self.inputs}
        self._current: dict[Hashable, tuple[Name, slice | Tensor, Tensor]] = {}
        self._of_anchors: dict[Name, Tensor] = {}
        self._sums: dict[int, dict[Hashable, Tensor]] = {}

    def clear(self) -> None:
        """Forget the leaves of the last tile."""
        self._current, self._of_anchors = {}, {}

    def made_name(self, key: Hashable, make: Callable[[Tensor], Tensor], of: Made | None) -> Name:
        """The name of `make` of the references, called once for all tiles, with a graph that leads to the inputs."""
        name = ("made", key)
        if name not in self._tensors:
            source = REFERENCES if of is None else self.made_name(*of, None)
            with torch.set_grad_enabled(self.grad):
                self._tensors[name] = make(self._tensors[source])
        return name

    def of_anchors(self, name: Name, make: Callable[[Tensor], Tensor], anchors: Tensor) -> Tensor:
        """`make(anchors)` of this tile, the same one if asked again."""
        if name not in self._of_anchors:
            self._of_anchors[name] = make(anchors)
        return self._of_anchors[name]

    def rows(self, name: Name, which: slice | Tensor) -> Tensor:
        """Rows of a tensor, in a row or listed, as a leaf of this tile; an input that is seen whole is its own.

        Args:
            name: the tensor's.
            which: which rows.
        """
        tensor = self._tensors[name]
        if isinstance(which, slice):
            start, stop, _ = which.indices(len(tensor)) if tensor.ndim else (0, 0, 1)
            which = ALL if which == ALL or (start, stop) == (0, len(tensor)) else slice(start, stop)
            key: Hashable = name, which.start, which.stop
        else:
            key = name, len(self._current)
        # one object for equal slices: is_self_comparison is by identity, and without it own rows take two products
        if key not in self._current:
            some = tensor if which is ALL else tensor[which]
            leaf = some if which is ALL and name in self.inputs else some.detach().requires_grad_(tensor.requires_grad)
            self._current[key] = name, which, leaf
        return self._current[key][2]

    @property
    def current(self) -> list[Tensor]:
        """All that this tile may be differentiated by."""
        return [leaf for _, _, leaf in self._current.values() if leaf.requires_grad] + self.parameters

    def add(
        self, output_index: int, outputs: Sequence[Tensor], output_gradients: Sequence[Tensor], again: bool = False
    ) -> None:
        """Add the gradient of Σ output_gradient·output to the sums of an output.

        Args:
            output_index: whose gradient it is, or `ALL_OUTPUTS`.
            outputs: what the tile gave.
            output_gradients: the gradient of each.
            again: whether the same tile is differentiated once more.
        """
        found = [each for each in self._current.values() if each[2].requires_grad]
        parts = torch.autograd.grad(outputs, self.current, output_gradients, retain_graph=again, allow_unused=True)
        for (name, which, _), part in zip(found, parts, strict=False):
            if part is not None:
                self._add(output_index, name, self._tensors[name], which, part)
        for k, (parameter, part) in enumerate(zip(self.parameters, parts[len(found) :], strict=True)):
            if part is not None:
                self._add(output_index, k, parameter, ALL, part)

    def _add(self, output_index: int, key: Hashable, like: Tensor, which: slice | Tensor, part: Tensor) -> None:
        sums = self._sums.setdefault(output_index, {})
        if which is ALL:
            sums[key] = sums[key].add_(part) if key in sums else part.clone()
            return
        total = sums[key] if key in sums else sums.setdefault(key, torch.zeros_like(like))
        if isinstance(which, Tensor):
            total.index_add_(0, which.flatten(), part.flatten(0, which.ndim - 1))
        else:
            total[which].add_(part)

    def gradients(self, output_index: int) -> list[Tensor | None]:
        """Of the inputs, then of the parameters. What was made of the references passes its gradient on, once."""
        sums = dict(self._sums.get(output_index, {}))
        made = [key for key in sums if isinstance(key, tuple) and key[0] == "made"]
        keys: list[Hashable] = [*self.inputs, *range(len(self.parameters))]
        sources = [*self.inputs.values(), *self.parameters]
        outputs = [self._tensors[key] for key in made]
        if made and sources:
            output_gradients = [sums[key] for key in made]
            parts = torch.autograd.grad(outputs, sources, output_gradients, retain_graph=True, allow_unused=True)
            for key, part in zip(keys, parts, strict=True):
                if part is not None:
                    sums[key] = sums[key] + part if key in sums else part
        return [sums.get(key) for key in keys]
