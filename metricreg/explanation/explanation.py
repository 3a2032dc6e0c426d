"""Explanation: how a pipeline is evaluated, why so, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from metricreg.explanation.cost import Product

SHOWN = 6
"""Products that the text lists; the others are summed up."""


@dataclass
class ExplainedTerm:
    """A term.

    Args:
        name: what the loss calls it.
        kind: `element`, `pos_pair`, `neg_pair` or `triplet`; `scalar` with a reduction of its own.
        gradient: when it is made: `backward pass` (plain autograd), `forward sweep`, or `second sweep`, where it needs
            sums over all tiles.
    """

    name: str
    kind: str
    gradient: str


@dataclass
class ExplainedLoss:
    """A loss that is evaluated: the pipeline's, or one of those that it is made of.

    Args:
        pointer: where it stands in the spec.
        name: its registered name.
        anchors: A.
        references: M.
        plan: `dense` or `tiled`.
        tile: anchors of the first tile.
        tiles: how many.
        symmetric: whether only what is on and above the diagonal is evaluated, in tiles that grow.
        why: why this plan.
        before: what is made of all anchors first, and in how many tiles.
        terms: what it is made of.
    """

    pointer: str
    name: str
    anchors: int
    references: int
    plan: str
    tile: int
    tiles: int
    symmetric: bool = False
    why: str = ""
    before: tuple[tuple[str, int], ...] = ()
    terms: list[ExplainedTerm] = field(default_factory=list)


@dataclass
class ExplainedMiner:
    """A miner.

    Args:
        pointer: where it stands in the spec.
        name: its registered name.
        found: how many of what it selects on these random embeddings: `positive pairs` and `negative pairs`, or
            `triplets`.
    """

    pointer: str
    name: str
    found: dict[str, int]


@dataclass
class Explanation:
    """How a pipeline is evaluated, forward and backward.

    Args:
        batch: N, the number of embeddings.
        dim: D, their dimension.
        classes: how many classes there are.
        references: rows of a separate reference set; None where the batch is compared with itself.
        device: `cpu` or `cuda`.
        dtype: of the embeddings.
        losses: each loss that is evaluated.
        miners: each miner.
        products: matrix products, the largest part first.
        flop: floating point operations of all of them.
        moved: bytes that all other operations read and write.
        peak: the most bytes of tensors at a time, above inputs and parameters; their gradients included.
        complete: whether the step was made to its end; if not, it is too large for that, and what it takes is at least
            what is said here.
        notes: what else there is to know.
    """

    batch: int
    dim: int
    classes: int
    references: int | None
    device: str
    dtype: str
    losses: list[ExplainedLoss]
    miners: list[ExplainedMiner]
    products: list[Product]
    flop: int
    moved: int
    peak: int
    complete: bool
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        against = "" if self.references is None else f" against {self.references}"
        on = "a CPU" if self.device == "cpu" else "a GPU"
        lines = [
            f"{self.batch} embeddings{against} of {self.dim} dimensions, {self.classes} classes, {self.dtype}, on {on}"
        ]
        for miner in self.miners:
            found = " and ".join(f"{count} {what}" for what, count in miner.found.items())
            lines += ["", f"miner {miner.name}  ({miner.pointer})", f"  finds   {found} of {self.batch} anchors"]
        for loss in self.losses:
            lines += ["", *_lines(loss)]
        flop, moved, peak = amount(self.flop), amount(self.moved, 1024), amount(self.peak, 1024)
        least = "" if self.complete else "at least "
        lines += ["", f"matrix products   {least}{flop}FLOP"]
        lines += [f"  {product.count:>6} of {product.shapes}" for product in self.products[:SHOWN]]
        if rest := self.products[SHOWN:]:
            lines.append(f"  {sum(product.count for product in rest):>6} smaller ones")
        lines.append(f"other operations  {least}{moved}B read and written")
        lines.append(f"peak memory       {least}{peak}B above inputs and parameters, gradients included")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _lines(loss: ExplainedLoss) -> Iterator[str]:
    yield f"loss {loss.name}  ({loss.pointer})"
    for what, tiles in loss.before:
        yield f"  first   {what}, in {tiles} tile{'' if tiles == 1 else 's'}"
    plan = "dense" if loss.plan == "dense" else f"tiled, {loss.tiles} tiles of {loss.tile}"
    plan += " and more, on and above the diagonal" if loss.symmetric else ""
    yield f"  plan    {plan}: {loss.anchors} anchors x {loss.references} references"
    yield f"  why     {loss.why}"
    for term in loss.terms:
        yield f"  term    {term.name}: {term.kind}; gradient: {term.gradient}"


def amount(count: float, base: int = 1000) -> str:
    """A number of a few digits and a letter: `16.8 M`, `44.7 Mi`."""
    letters = ["", "K", "M", "G", "T"]
    while abs(count) >= base and len(letters) > 1:
        count, letters = count / base, letters[1:]
    unit = letters[0] and letters[0] + "i" * (base == 1024)
    return f"{count:.1f} {unit}" if unit else f"{count:.0f} "
