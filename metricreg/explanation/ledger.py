"""Ledger: an account of what tensor operations cost: matrix products, bytes moved, and the most memory at a time."""

from __future__ import annotations

import math
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_PAIRS = {"mm": (0, 1), "bmm": (0, 1), "addmm": (1, 2), "baddbmm": (1, 2), "mv": (0, 1), "addmv": (1, 2)}
"""Which arguments of an operation are multiplied."""
_DISTANCES = {"_cdist_forward": 0, "_cdist_backward": 1}
"""Distances of all pairs of rows, which take as much as a product: from which argument on the two are."""
_SUMS = ("sum", "cumsum", "mean")
_PROMOTING = ("add", "sub", "mul", "div", "eq", "ne", "lt", "le", "gt", "ge", "maximum", "minimum")


@dataclass(frozen=True, order=True)
class Product:
    """The shapes of a matrix product `[rows, inner] x [inner, columns]`, perhaps of several pairs of matrices at once.

    Args:
        rows: of the first matrix, and of the result.
        inner: what is summed over.
        columns: of the second matrix, and of the result.
        pairs: how many pairs of matrices.
    """

    rows: int
    inner: int
    columns: int
    pairs: int = 1

    @property
    def flop(self) -> int:
        """Floating point operations: one multiplication and one addition for each three indices."""
        return 2 * self.pairs * self.rows * self.inner * self.columns

    def __str__(self) -> str:
        pairs = "" if self.pairs == 1 else f"{self.pairs} x "
        return f"{pairs}[{self.rows}, {self.inner}] x [{self.inner}, {self.columns}]"


@dataclass
class Account:
    """What operations cost.

    Args:
        products: how often which matrix product was made.
        moved: bytes that all other operations read and wrote.
    """

    products: Counter[Product] = field(default_factory=Counter)
    moved: int = 0

    @property
    def flop(self) -> int:
        """Floating point operations of all matrix products."""
        return sum(product.flop * count for product, count in self.products.items())

    def copy(self) -> Account:
        """The same, to be compared with later."""
        return Account(Counter(self.products), self.moved)

    def repeat_since(self, before: Account, times: float) -> None:
        """Add what has been done since then so many times more."""
        for product, count in self.products.items():
            self.products[product] = count + round(times * (count - before.products[product]))
        self.moved += round(times * (self.moved - before.moved))


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context that keeps an account of every operation on tensors in it, those of the backward pass included.

    Memory is that of tensors made in the context, while they live. What an operation needs for itself while it runs is
    not seen, but for what is known: on a CPU, operands of another type than the result's are converted as a whole.

    Attributes:
        account: the operations so far.
        live: bytes of the tensors that are there.
        peak: the most there have been at a time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.account = Account()
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, and write down what it cost."""
        kwargs = kwargs or {}
        given = list(_tensors([*args, *kwargs.values()]))
        for tensor in given:
            self._count(tensor, 0)  # made before, or not by an operation
        held = {_key(tensor) for tensor in given}
        out = func(*args, **kwargs)
        made = list(_tensors([out]))
        if not func._schema.is_mutable and made and all(_key(tensor) in held for tensor in made):
            return out  # a view
        for tensor in made:
            self._count(tensor, tensor.untyped_storage().nbytes())
        self.peak = max(self.peak, self.live + _needed(func, args, made))
        product = _product(func, args)
        if product is None:
            self.account.moved += sum(map(_bytes, [*given, *made]))
        else:
            self.account.products[product] += 1
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


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _bytes(tensor: Tensor) -> int:
    """What it takes to read a tensor, of which an expanded one repeats entries."""
    return min(_size(tensor, tensor.dtype), tensor.untyped_storage().nbytes())


def _size(tensor: Tensor, dtype: torch.dtype) -> int:
    """Bytes of as many entries of some type."""
    return tensor.numel() * dtype.itemsize


def _name(func: Any) -> str:
    """The name of an operation, of that in place too."""
    name: str = func.overloadpacket.__name__
    return name.removesuffix("_")


def _needed(func: Any, args: tuple[Any, ...], made: list[Tensor]) -> int:
    """Bytes that an operation needs for itself while it runs, as far as that is known."""
    first = args[0] if args else None
    if not isinstance(first, Tensor) or first.device.type != "cpu" or not made:
        return 0
    name = _name(func)
    if name == "logsumexp":
        return _size(first, first.dtype)
    if name in _SUMS:
        return 0 if first.dtype == made[0].dtype else _size(first, made[0].dtype)
    if name not in _PROMOTING:
        return 0
    common = torch.result_type(first, args[1])
    return sum(_size(t, common) for t in _tensors(args[:2]) if t.dtype != common and t.ndim)


def _product(func: Any, args: tuple[Any, ...]) -> Product | None:
    name = _name(func)
    if name in _DISTANCES:
        a, b = args[_DISTANCES[name]], args[_DISTANCES[name] + 1].mT
    elif name in _PAIRS:
        a, b = (args[place] for place in _PAIRS[name])
    else:
        return None
    columns = b.shape[-1] if b.ndim > 1 else 1
    return Product(a.shape[-2], a.shape[-1], columns, math.prod(a.shape[:-2]))


__all__ = ["Account", "Ledger", "Product"]
