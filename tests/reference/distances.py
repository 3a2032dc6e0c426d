"""Distances of two vectors, written out; the gradient at distance zero, and of a zero norm, is zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor


def norm(a: Tensor, p: float = 2.0) -> Tensor:
    """Σ|aᵢ|ᵖ to the power 1/p; 0 without slope for the zero vector."""
    nonzero = a[a != 0]
    return nonzero.abs().pow(p).sum().pow(1.0 / p) if len(nonzero) else (a * 0.0).sum()


def unit(a: Tensor, p: float = 2.0) -> Tensor:
    """a over its norm; the zero vector stays."""
    return a / norm(a, p) if bool((a != 0).any()) else a


def raised(value: Tensor, power: float) -> Tensor:
    """value to a power; 0 stays, without slope, where the power is under 1."""
    return value * 0.0 if power < 1 and bool(value == 0) else value**power


def lp(a: Tensor, b: Tensor, p: float = 2.0) -> Tensor:
    """|a - b|_p."""
    return norm(a - b, p)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """<a, b>."""
    return torch.stack([u * v for u, v in zip(a, b, strict=True)]).sum()


def snr(a: Tensor, b: Tensor) -> Tensor:
    """Variance of the difference over variance of the anchor, which counts as eps/D at least."""
    signal = a.var(unbiased=False)
    return (a - b).var(unbiased=False) / signal.clamp(min=torch.finfo(a.dtype).eps / len(a))


def as_is(a: Tensor) -> Tensor:
    """The vector."""
    return a


@dataclass(frozen=True)
class Measure:
    """A distance of two vectors `[D]`, or a similarity if inverted."""

    between: Callable[[Tensor, Tensor], Tensor]
    prepare: Callable[[Tensor], Tensor] = unit
    power: float = 1.0
    inverted: bool = False

    def of(self, a: Tensor, b: Tensor) -> Tensor:
        """The distance of two vectors."""
        return raised(self.between(self.prepare(a), self.prepare(b)), self.power)

    def table(self, x: Tensor, y: Tensor) -> list[list[Tensor]]:
        """All distances between the rows of x and of y."""
        xs, ys = [self.prepare(a) for a in x], [self.prepare(b) for b in y]
        return [[raised(self.between(a, b), self.power) for b in ys] for a in xs]

    def farther(self, u: Tensor | float, v: Tensor | float) -> Tensor:
        """By how much u is farther than v."""
        return torch.as_tensor(v - u if self.inverted else u - v)

    def nearer(self, u: Tensor, v: Tensor) -> Tensor:
        """The nearer of two."""
        return u if bool(self.farther(v, u) >= 0) else v

    def similarity(self, u: Tensor) -> Tensor:
        """Larger for closer."""
        return u if self.inverted else -u


def lp_measure(p: float = 2.0, power: float = 1.0, normalize: bool = True) -> Measure:
    """The Lp distance."""
    return Measure(partial(lp, p=p), partial(unit, p=p) if normalize else as_is, power)


def dot_product_measure(power: float = 1.0, normalize: bool = True) -> Measure:
    """The inner product; the cosine if normalised."""
    return Measure(inner, unit if normalize else as_is, power, inverted=True)


def snr_measure(power: float = 1.0, normalize: bool = True) -> Measure:
    """The signal-to-noise ratio distance."""
    return Measure(snr, unit if normalize else as_is, power)


def mahalanobis_measure(factor: Tensor, power: float = 1.0) -> Measure:
    """sqrt((a - b)' L'L (a - b)), from the entries of L'L; 0 without slope where a is b."""

    def between(a: Tensor, b: Tensor) -> Tensor:
        form = [
            (a[i] - b[i]) * (a[j] - b[j]) * sum(row[i] * row[j] for row in factor)
            for i in range(len(a))
            for j in range(len(a))
        ]
        total = torch.stack(form).sum()
        return total.sqrt() if bool(total > 0) else total * 0.0

    return Measure(between, as_is, power)
