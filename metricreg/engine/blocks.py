"""The blocks that a batch is gone over in, by one process or by ranks that share them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metricreg.batch import Batch
from metricreg.distributed.ranks import Ranks
from metricreg.engine.execution import sampled_tiles

RUNS_A_RANK = 4
"""Runs of anchors of a symmetric comparison, whose blocks are of different sizes, for each rank."""


@dataclass(frozen=True)
class Block:
    """What is evaluated at a time: a tile, or of a symmetric comparison a part of one.

    Args:
        anchors: which anchors.
        references: which references, of a symmetric batch; all if None.
        multiplicity: 2 for pairs that stand for those with their samples exchanged, too.
    """

    anchors: slice
    references: slice | None = None
    multiplicity: int = 1

    def work(self, references: int) -> int:
        """How many pairs it has, of so many references."""
        rows: int = self.anchors.stop - self.anchors.start
        columns: int = references if self.references is None else self.references.stop - self.references.start
        return rows * columns


def blocks_of(batch: Batch, tile: int, symmetric: bool, what: str) -> Iterator[Block]:
    """What one process evaluates at a time; of a symmetric comparison, what is on and above the diagonal.

    Args:
        batch: of which.
        tile: anchors a tile.
        symmetric: whether it is a symmetric comparison.
        what: what is made of them, for those who watch.
    """
    runs = _triangle(len(batch), tile) if symmetric else batch.tiles(tile)
    return _blocks(len(batch), sampled_tiles(runs, what), symmetric)


def blocks_over_ranks(batch: Batch, tile: int, symmetric: bool, ranks: Ranks) -> list[Block]:
    """The same of all ranks, small enough that each can have as much to do."""
    number = len(batch)
    if symmetric:
        runs = _triangle(number, min(tile, max(1, number // (RUNS_A_RANK * ranks.size))))
    else:
        runs = _even_runs(number, ranks.size * max(1, -(-number // (ranks.size * tile))))
    return list(_blocks(number, runs, symmetric))


def _blocks(number: int, runs: Iterator[tuple[int, int]], symmetric: bool) -> Iterator[Block]:
    if not symmetric:
        yield from (Block(slice(i, j)) for i, j in runs)
        return
    for i, j in runs:
        yield Block(slice(i, j), slice(i, j))
        if j < number:
            yield Block(slice(i, j), slice(j, number), multiplicity=2)


def _even_runs(number: int, runs: int) -> Iterator[tuple[int, int]]:
    """Anchors in runs whose lengths differ by one at most."""
    return (
        (number * k // runs, number * (k + 1) // runs)
        for k in range(runs)
        if number * (k + 1) // runs > number * k // runs
    )


def _triangle(number: int, tile: int) -> Iterator[tuple[int, int]]:
    """Runs of the anchors of a symmetric comparison: later ones have fewer references, and so are up to twice as long.

    Args:
        number: of anchors.
        tile: anchors of the first run.
    """
    i = 0
    while i < max(number, 1):
        j = min(number, i + min(2 * tile, tile * number // max(number - i, 1)))
        yield i, j
        i = max(j, 1)
