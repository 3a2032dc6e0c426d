"""Cost: what the tensor operations of a step take: matrix products, bytes moved, and the most memory at a time."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

CONVERTING = ("add", "sub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum", "sum", "cumsum")
"""Operations that on a CPU convert operands of another type than that which they compute in, as a whole."""
LEAST = 2**12
"""Entries of the operands of an operation that may be too large."""


class TooLargeError(Exception):
    """The next operation would take more memory than it may."""


@dataclass
class Product:
    """A matrix product.

    Args:
        shapes: of the two matrices.
        count: how often it is made.
        flop: floating point operations of all of them.
    """

    shapes: str
    count: float = 0
    flop: float = 0


class Cost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that adds up what every operation on tensors in it takes, those of the backward pass included.

    Memory is that of tensors made in the context, while they live, and what operations are known to need for
    themselves while they run.

    Args:
        limit: bytes that may live at a time; an operation that would make more raises `TooLargeError` instead.

    Attributes:
        products: the matrix products that were made, by the shapes of their factors.
        moved: bytes that all other operations read and wrote.
        weight: how often what is made from now on is counted in these two.
        live: bytes of the tensors that are there.
        peak: the most there have been at a time, or would have been if not for the limit.
    """

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit = limit
        self.products: dict[str, Product] = {}
        self.moved = 0.0
        self.weight = 1.0
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and add what it takes."""
        kwargs = dict(kwargs or {})
        given = _tensors((args, kwargs))
        for tensor in given:
            self._count(tensor, 0)  # made before, or not by an operation
        if self.limit is not None and not func._schema.is_mutable:
            self._check(func, args, kwargs, self.limit)
        held = {_key(tensor) for tensor in given}
        out = func(*args, **kwargs)
        made = _tensors(out)
        if made and not func._schema.is_mutable and all(_key(tensor) in held for tensor in made):
            return out  # a view
        for tensor in made:
            self._count(tensor, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, self.live + _converted(func, given, made))
        formula = flop_registry.get(getattr(torch.ops.aten, _name(func), None))
        if formula is not None:
            left, right = [list(tensor.shape) for tensor in _tensors(args)][-2:]
            made_of = f"{left} x {right}"
            product = self.products.setdefault(made_of, Product(made_of))
            product.count += self.weight
            product.flop += self.weight * formula(*args, **kwargs, out_val=out)
        else:
            parts = (min(t.numel() * t.itemsize, t.untyped_storage().nbytes()) for t in [*given, *made])
            self.moved += self.weight * sum(parts)
        return out

    def _check(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], limit: int) -> None:
        """Raise `TooLargeError` if what an operation will return passes the limit, as the meta device knows it."""
        meta_args, meta_kwargs = tree_map(_on_meta, (args, kwargs))
        given = {_key(tensor): tensor.numel() for tensor in _tensors((meta_args, meta_kwargs))}
        if given and sum(given.values()) < LEAST:
            return
        try:
            made = _tensors(func(*meta_args, **(meta_kwargs if given else meta_kwargs | {"device": "meta"})))
        except Exception:  # of operations whose result depends on values, such as `nonzero`: the most that is likely
            if self.live + 16 * max(given.values(), default=0) > limit:
                raise TooLargeError from None
            return
        needed = self.live + sum(tensor.untyped_storage().nbytes() for tensor in made if _key(tensor) not in given)
        if needed > limit:
            self.peak = max(self.peak, needed)
            raise TooLargeError

    def _count(self, tensor: Tensor, size: int) -> None:
        key = _key(tensor)
        if key in self._known:
            return

        def gone(_: Any) -> None:
            del self._known[key]
            self.live -= size

        self._known[key] = weakref.ref(tensor.untyped_storage(), gone)
        self.live += size


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _name(func: Any) -> str:
    """The name of an operation, of that in place too."""
    name: str = func.overloadpacket.__name__
    return name.removesuffix("_")


def _converted(func: Any, given: list[Tensor], made: list[Tensor]) -> int:
    """Bytes that an operation on a CPU needs for itself while it runs, as far as that is known."""
    if not given or not made or given[0].device.type != "cpu":
        return 0
    name = _name(func)
    if name == "logsumexp":
        return given[0].numel() * given[0].itemsize
    if name not in CONVERTING:
        return 0
    common = made[0].dtype if len(given) == 1 else torch.result_type(given[0], given[1])
    return sum(t.numel() * common.itemsize for t in given[:2] if t.dtype != common and t.ndim)


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    return torch.device("meta") if isinstance(value, torch.device) else value
