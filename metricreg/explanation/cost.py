"""Cost: what the tensor operations of a step take: matrix products, bytes moved, and the most memory at a time."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import flop_registry

CONVERTING = ("add", "sub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum", "sum", "cumsum")
"""Operations that on a CPU convert operands of another type than that which they compute in, as a whole."""


class TooLargeError(Exception):
    """The next operation would take more memory than it may."""


class Product(NamedTuple):
    """A matrix product: the shapes of its factors, and its floating point operations."""

    shapes: str
    flop: int


class Cost(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that adds up what every operation on tensors in it takes, those of the backward pass included.

    Memory is that of tensors made in the context, while they live, and what operations are known to need for
    themselves while they run.

    Args:
        limit: bytes that may live at a time; an operation that would make more raises `TooLargeError` instead.

    Attributes:
        products: how often which matrix product was made.
        moved: bytes that all other operations read and wrote.
        live: bytes of the tensors that are there.
        peak: the most there have been at a time.
    """

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.limit = limit
        self.products: Counter[Product] = Counter()
        self.moved = self.live = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    @property
    def flop(self) -> int:
        """Floating point operations of all matrix products."""
        return sum(product.flop * count for product, count in self.products.items())

    def repeat(self, products: Counter[Product], moved: int, times: float) -> None:
        """Add what has come since there were these products and bytes, so many times more."""
        for product, count in self.products.items():
            self.products[product] = count + round(times * (count - products[product]))
        self.moved += round(times * (self.moved - moved))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and add what it takes."""
        kwargs = dict(kwargs or {})
        given = _tensors((args, kwargs))
        for tensor in given:
            self._count(tensor, 0)  # made before, or not by an operation
        if self.limit is not None and self.live + _bytes_to_be_made(func, args, kwargs) > self.limit:
            raise TooLargeError
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
            self.products[Product(f"{left} x {right}", formula(*args, **kwargs, out_val=out))] += 1
        else:
            self.moved += sum(min(t.numel() * t.itemsize, t.untyped_storage().nbytes()) for t in [*given, *made])
        return out

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


def _bytes_to_be_made(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Bytes of what an operation will return, found on the meta device; where that does not know, the most likely."""
    given = _tensors((args, kwargs))
    if func._schema.is_mutable or (given and sum(tensor.numel() for tensor in given) < 2**12):
        return 0
    meta_args, meta_kwargs = tree_map(_on_meta, (args, kwargs))
    if not given:
        meta_kwargs["device"] = torch.device("meta")
    try:
        made = _tensors(func(*meta_args, **meta_kwargs))
    except Exception:  # of operations whose result depends on values, such as `nonzero`
        return 16 * max((tensor.numel() for tensor in given), default=0)
    held = {_key(tensor) for tensor in _tensors((meta_args, meta_kwargs))}
    return sum(tensor.untyped_storage().nbytes() for tensor in made if _key(tensor) not in held)


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    return torch.device("meta") if isinstance(value, torch.device) else value


__all__ = ["Cost", "Product", "TooLargeError"]
