"""Explanation: how a pipeline is evaluated, why so, and what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from metricreg.explanation.reasons import amount

SHOWN = 6
"""Products that the text lists; the others are summed up."""


@dataclass(frozen=True)
class ExplainedStatistic:
    """A sum over anchors.

    Args:
        dtype: its type.
        shape: `[]` for a single number.
        carries_gradient: whether the loss is differentiated through it.
    """

    dtype: str
    shape: tuple[int, ...]
    carries_gradient: bool


@dataclass(frozen=True)
class ExplainedTerm:
    """A term.

    Args:
        name: what the loss calls it.
        kind: `element`, `pos_pair`, `neg_pair` or `triplet`; `scalar` with a reduction of its own.
        axes: the shape of its values in letters: A anchors, M references, K of each anchor, T a list.
        shape: the same in numbers, of one tile; None where the values are not made.
        statistics: what is summed over tiles; None where the whole term is reduced at once.
        gradient: when its gradient is made: `none`, `backward pass` (plain autograd), `forward sweep`, `second sweep`.
        why: the reason for that.
    """

    name: str
    kind: str
    axes: str
    shape: tuple[int, ...] | None
    statistics: tuple[ExplainedStatistic, ...] | None
    gradient: str
    why: str


@dataclass(frozen=True)
class ExplainedLoss:
    """A loss that is evaluated: the pipeline's, or one of those that it is made of.

    Args:
        pointer: where it stands in the spec.
        name: its registered name.
        anchors: A.
        references: M.
        selection: `Pairs` or `Triplets` where tuples were selected.
        plan: `dense` or `tiled`.
        tile: anchors a tile.
        tiles: how many.
        symmetric: whether only what is on and above the diagonal is evaluated, in tiles that grow to twice as many
            anchors.
        why: why this plan and this tile.
        before: what is made of all anchors first, and in how many tiles.
        terms: what it is made of.
    """

    pointer: str
    name: str
    anchors: int
    references: int
    selection: str
    plan: str
    tile: int
    tiles: int
    symmetric: bool
    why: str
    before: tuple[tuple[str, int], ...]
    terms: tuple[ExplainedTerm, ...]


@dataclass(frozen=True)
class ExplainedMiner:
    """A miner.

    Args:
        pointer: where it stands in the spec.
        name: its registered name.
        found: what it selects: `Pairs` or `Triplets`.
        counts: how many on these random embeddings: positive and negative pairs, or triplets.
        anchors: of how many anchors.
    """

    pointer: str
    name: str
    found: str
    counts: tuple[int, ...]
    anchors: int


@dataclass(frozen=True)
class ExplainedProduct:
    """A matrix product.

    Args:
        shapes: of the two matrices.
        count: how often it is made.
        flop: floating point operations of all of them.
    """

    shapes: str
    count: int
    flop: int


@dataclass(frozen=True)
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
        products: matrix products, the largest part first; none where the cost is carried on from smaller steps.
        flop: floating point operations of all of them.
        moved: bytes that all other operations read and write.
        peak: the most bytes of tensors at a time, above inputs and parameters; their gradients included.
        notes: what else there is to know.
    """

    batch: int
    dim: int
    classes: int
    references: int | None
    device: str
    dtype: str
    losses: tuple[ExplainedLoss, ...]
    miners: tuple[ExplainedMiner, ...]
    products: tuple[ExplainedProduct, ...]
    flop: int
    moved: int
    peak: int
    notes: tuple[str, ...]

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
            lines += ["", f"miner {miner.name}  ({miner.pointer})", f"  finds   {_found(miner)}"]
        for loss in self.losses:
            lines += ["", *_lines(loss)]
        lines += ["", f"matrix products   {_flop(self.flop)}", *_products(self.products)]
        lines += [f"other operations  {_bytes(self.moved)} read and written"]
        lines += [f"peak memory       {_bytes(self.peak)} above inputs and parameters, gradients included"]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


# -- as text ----------------------------------------------------------------------------------------------------------


def _found(miner: ExplainedMiner) -> str:
    counted = ("triplets",) if len(miner.counts) == 1 else ("positive pairs", "negative pairs")
    found = " and ".join(f"{count} {what}" for count, what in zip(miner.counts, counted, strict=True))
    return f"{found} of {miner.anchors} anchors"


def _lines(loss: ExplainedLoss) -> Iterator[str]:
    plan = "dense" if loss.plan == "dense" else f"tiled, {loss.tiles} tiles of {loss.tile}"
    plan += f" to {2 * loss.tile}, on and above the diagonal" if loss.symmetric else ""
    selected = f", {loss.selection} selected" if loss.selection else ""
    yield f"loss {loss.name}  ({loss.pointer})"
    for what, tiles in loss.before:
        yield f"  first   {what}, in {tiles} tile{'' if tiles == 1 else 's'}"
    yield f"  plan    {plan}: {loss.anchors} anchors x {loss.references} references{selected}"
    yield f"  why     {loss.why}"
    for term in loss.terms:
        shape = "" if term.shape is None else f" = {list(term.shape)}"
        yield f"  term    {term.name}: {term.kind}, {term.axes}{shape}"
        yield f"          sums: {_sums(term.statistics)}"
        yield f"          gradient: {term.gradient}; {term.why}"


def _sums(statistics: tuple[ExplainedStatistic, ...] | None) -> str:
    if statistics is None:
        return "none"
    return ", ".join(
        f"{s.dtype} {list(s.shape) if s.shape else 'number'}" + " with gradient" * s.carries_gradient
        for s in statistics
    )


def _bytes(count: int) -> str:
    return f"{amount(count, 'KMGT', 1024)}iB" if count >= 1024 else f"{count} bytes"


def _flop(count: int) -> str:
    return f"{amount(count)}FLOP" if count >= 1000 else f"{count} FLOP"


def _products(products: tuple[ExplainedProduct, ...]) -> Iterator[str]:
    for product in products[:SHOWN]:
        yield f"  {product.count:>6} of {product.shapes}"
    rest = products[SHOWN:]
    if rest:
        yield f"  {sum(product.count for product in rest):>6} smaller ones"
