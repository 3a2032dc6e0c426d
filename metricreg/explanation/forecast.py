"""Forecast: what a step costs, rehearsed at its size where this machine can, and else carried on from smaller ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metricreg.explanation.ledger import Product
from metricreg.explanation.rehearsal import Rehearsal, tile_on
from metricreg.explanation.seen import SeenLoss, SeenMiner
from metricreg.explanation.subject import Subject

LEAST = 64
"""Embeddings of the smallest step that is looked at first."""
VALUES = 2**22
"""Values of all pairs that are rehearsed densely without a thought."""
BYTES = 2**30
"""Most memory of a step that is rehearsed though it has no tiles that could be left out."""


@dataclass(frozen=True)
class Forecast:
    """What a step costs.

    Args:
        losses: what is seen of each loss.
        miners: what is seen of each miner.
        products: how often which matrix product is made; none where this was carried on.
        flop: floating point operations of all of them.
        moved: bytes that other operations read and write.
        peak: the most bytes of tensors at a time.
        seen_at: of how many embeddings the steps had that this was carried on from; None if it had all.
    """

    losses: Sequence[SeenLoss]
    miners: Sequence[SeenMiner]
    products: Counter[Product]
    flop: int
    moved: int
    peak: int
    seen_at: int | None = None

    @classmethod
    def of(cls, subject: Subject) -> Forecast:
        """Rehearse a step, at its own size unless that would take too much."""
        count = subject.sizes.batch
        first = max(LEAST, 2 * subject.per_class)
        if count <= 2 * first:
            return cls._rehearsed(subject, count)
        early, later = (cls._rehearsed(subject, n) for n in (first, 2 * first))
        losses = [_carried_on(a, b, first, count) for a, b in zip(early.losses, later.losses, strict=True)]
        losses = [_planned(seen, subject) for seen in losses]
        summed = _values(losses) <= VALUES or all(map(_is_summed, losses)) or cls._is_swept(subject, 2 * first)
        if not subject.has_miner and summed:
            return cls._rehearsed(subject, count)
        return cls._from_smaller(subject, losses)

    @classmethod
    def _rehearsed(cls, subject: Subject, count: int, dense: bool = False) -> Forecast:
        rehearsal = Rehearsal(subject.pipeline(), subject.device, dense)
        if subject.has_state:
            rehearsal.settle(lambda turn: subject.inputs(count, turn))
        rehearsal.run(subject.inputs(count))
        account = rehearsal.ledger.account
        return cls(
            rehearsal.losses,
            rehearsal.miners,
            account.products,
            account.flop,
            account.moved,
            rehearsal.ledger.peak,
        )

    @classmethod
    def _is_swept(cls, subject: Subject, count: int) -> bool:
        """Whether what is no sum over anchors follows from sweeps over tiles, of which some can be left out."""
        if subject.has_state:
            return False
        rehearsal = Rehearsal(subject.pipeline(), subject.device, tile=count // 2)
        rehearsal.run(subject.inputs(count))
        return all(_is_summed(seen) or seen.before for seen in rehearsal.losses)

    @classmethod
    def _from_smaller(cls, subject: Subject, losses: list[SeenLoss]) -> Forecast:
        """From three smaller steps: each cost is a + b N + c values, with values of all pairs."""
        count = subject.sizes.batch
        largest = count
        while largest > 4 * LEAST and _values(losses) * (largest / count) ** 2 > VALUES // 4:
            largest = largest * 3 // 4
        sizes = [largest // 2, largest * 3 // 4, largest]
        seen = [cls._rehearsed(subject, n, dense=True) for n in sizes]
        at = [(1.0, float(n), float(_values(f.losses))) for n, f in zip(sizes, seen, strict=True)]
        there = (1.0, float(count), float(_values(losses)))

        def carry(cost: Callable[[Forecast], int]) -> int:
            known = np.array([cost(forecast) for forecast in seen], dtype=float)
            weights = np.linalg.lstsq(np.array(at) / at[-1], known, rcond=None)[0]
            return max(0, round(float(np.array(there) / at[-1] @ weights)))

        peak = carry(lambda forecast: forecast.peak)
        if peak <= BYTES:
            return cls._rehearsed(subject, count)
        last = seen[-1]
        miners = [
            replace(
                miner,
                anchors=count,
                counts=tuple(carry(lambda f, i=i, j=j: f.miners[i].counts[j]) for j in range(len(miner.counts))),  # type: ignore[misc]
            )
            for i, miner in enumerate(last.miners)
        ]
        flop, moved = carry(lambda f: f.flop), carry(lambda f: f.moved)
        return cls(losses, miners, Counter(), flop, moved, peak, largest)


def _values(losses: Sequence[SeenLoss]) -> int:
    return sum(seen.anchors * max(seen.width or 0, seen.references) for seen in losses)


def _is_summed(seen: SeenLoss) -> bool:
    """Whether it is evaluated in tiles, of which some can be left out."""
    return seen.tile is not None and any(not term.once for term in seen.terms.values())


def _planned(seen: SeenLoss, subject: Subject) -> SeenLoss:
    if seen.width is None:
        return seen
    return replace(seen, tile=tile_on(subject.device, subject.execution, seen.anchors, seen.width))


def _carried_on(early: SeenLoss, later: SeenLoss, first: int, count: int) -> SeenLoss:
    """The sizes of a loss for more embeddings: they grow with them, or stay."""

    def carry(a: int, b: int) -> int:
        return round(b + (b - a) / first * (count - 2 * first))

    references = carry(early.references, later.references)
    width = None
    if early.width is not None and later.width is not None:
        times = carry(early.width // max(early.references, 1), later.width // max(later.references, 1))
        width = times * references if times else carry(early.width, later.width)
    return replace(later, anchors=carry(early.anchors, later.anchors), references=references, width=width)


__all__ = ["Forecast"]
