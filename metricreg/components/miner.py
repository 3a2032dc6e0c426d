"""Miner: which pairs or triplets of a batch are worth learning from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypedDict

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.inputs import check_call
from metricreg.batch.tuples import Pairs, Selection, Triplets, checked_selection
from metricreg.components.component import Component, create
from metricreg.components.distance import Distance
from metricreg.components.match import Match
from metricreg.distributed.ranks import Ranks, current, shared_by
from metricreg.engine.evaluate import type_and_shape
from metricreg.engine.execution import tile_values
from metricreg.errors import MetricregError, RegistrationError
from metricreg.functional.random_state import DrawsByRow

MINED_AT_A_TIME = 512
"""Anchors that `select` is asked for at a time, at most, so that ranks can share them."""


class OwnDistanceMinerSlots(TypedDict, total=False):
    """What a miner takes besides its own parameters that has a distance of its own."""

    match: Match | None
    tuples_per_anchor: Annotated[Annotated[int, Field(gt=0)] | Literal["all"], Field(default="all")]


class MinerSlots(OwnDistanceMinerSlots, total=False):
    """What a miner takes besides its own parameters."""

    distance: Distance | None


class Miner(Component):
    """Selects pairs or triplets, without gradient.

    A subclass implements `select`, which is asked for some anchors at a time; or `mine`, if it has to see all at once.

    Args:
        distance: what hard and easy are measured by; if None, what the miner names as its default.
        match: which samples belong together, by their labels; if None, what the loss has, or those with the same label.
        tuples_per_anchor: how many of an anchor's triplets, or of its positive and of its negative pairs, are kept at
            most, drawn by torch's random numbers; or `"all"`.
    """

    kind: ClassVar[str] = "miner"
    default_distance: ClassVar[Callable[[], Distance]] = partial(create, "distance", "lp")
    """What makes the distance where none is given: the registered `lp`."""

    def __init__(
        self,
        distance: Distance | None = None,
        match: Match | None = None,
        tuples_per_anchor: int | Literal["all"] = "all",
    ) -> None:
        super().__init__()
        self.distance = type(self).default_distance() if distance is None else distance
        self.match = match
        self.tuples_per_anchor = tuples_per_anchor

    def select(self, batch: Batch) -> Selection:
        """Pairs or triplets of some anchors; their rows are counted from this batch's first anchor on."""
        raise NotImplementedError(f"{type(self).__name__} implements neither select nor mine")

    def mine(self, batch: Batch) -> Selection:
        """Pairs or triplets of all anchors: `select` of each tile, put together.

        What a tile draws depends on the state of the generator and on where it starts, and not on who selects it: of
        ranks that share a step, each has some tiles.
        """
        ranks, draws = current(), DrawsByRow(batch.anchors.device)
        mine = None if ranks is None else ranks.run_of(sum(1 for _ in self.tiles(batch)))
        parts: list[Selection] = []
        try:
            with shared_by(None):
                for number, (first, part) in enumerate(self.tiles(batch)):
                    if mine is not None and number not in mine:
                        continue
                    with draws.at(first):
                        parts.append(self._selected(part).offset_anchors(first))
                    while len(parts) > 1 and _alike(parts[-2], parts[-1]):  # many small tensors would break up the heap
                        parts[-2:] = [_joined(parts[-2:])]
            kinds = {type(part).__name__ for part in parts}
            found = _joined(parts) if len(kinds) == 1 else None
            if ranks is not None:
                kinds, found, draws.drawn = _over_ranks(ranks, kinds, found, draws.drawn, batch.anchors.device)
        finally:
            draws.end()
        if found is None:
            raise MetricregError(
                f"{type(self).__name__}.select returned Pairs for some anchors and Triplets for others"
            )
        return found

    def width(self, batch: Batch) -> int:
        """How many values an anchor needs at a time in `select`; what its tiles are sized by."""
        return len(batch.references)

    def tiles(self, batch: Batch) -> Iterator[tuple[int, Batch]]:
        """Runs of anchors sized by `width`, each with the row it starts at; one empty run of an empty batch."""
        made = len(batch.references) * self.distance.values_per_pair(batch.anchors)
        size = max(1, min(MINED_AT_A_TIME, tile_values(batch.anchors) // max(self.width(batch), made, 1)))
        return ((i, batch.rows(i, j)) for i, j in batch.tiles(size))

    def _selected(self, batch: Batch) -> Selection:
        found = self.select(batch)
        if not isinstance(found, Pairs | Triplets):
            raise MetricregError(
                f"{type(self).__name__}.select returned {type_and_shape(found)}; expected Pairs or Triplets"
            )
        return checked_selection(found, len(batch), len(batch.references), f"{type(self).__name__}.select")

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """As `forward`, for which see."""
        check_call(args, keywords, 4, "a miner takes embeddings, labels, ref_embeddings and ref_labels")
        return super().__call__(*args, **keywords)

    @torch.no_grad()
    def forward(
        self,
        embeddings: Tensor,
        labels: Any,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
    ) -> Selection:
        """Mine a batch; see `Batch.of` for the arguments.

        Returns:
            `Pairs` or `Triplets`, to be passed as `tuples=` to a loss.
        """
        return self.selection(Batch.of(embeddings, labels, ref_embeddings=ref_embeddings, ref_labels=ref_labels))

    @torch.no_grad()
    def selection(self, batch: Batch) -> Selection:
        """Mine a batch that is already made."""
        with torch.autocast(batch.anchors.device.type, enabled=False):
            found = self.mine(batch if self.match is None else batch.with_match(self.match))
        if not isinstance(found, Pairs | Triplets):
            raise MetricregError(
                f"{type(self).__name__}.mine returned {type_and_shape(found)}; expected Pairs or Triplets"
            )
        if type(self).mine is not Miner.mine:
            found = checked_selection(found, len(batch), len(batch.references), f"{type(self).__name__}.mine")
        return found if self.tuples_per_anchor == "all" else found.subsample(int(self.tuples_per_anchor))

    def effective_arguments(self) -> dict[str, Any]:
        """The slots in use."""
        return {"distance": self.distance, "match": self.match, "tuples_per_anchor": self.tuples_per_anchor}

    @classmethod
    def check_declaration(cls, kind: str) -> None:
        """Refuse a miner that implements neither way."""
        super().check_declaration(kind)
        if cls.select is Miner.select and cls.mine is Miner.mine:
            raise RegistrationError(f"{cls.__module__}.{cls.__qualname__} mines nothing: implement select, or mine")


def _alike(a: Selection, b: Selection) -> bool:
    """Whether two selections are of one sort, and the first is not far larger."""
    sizes = [sum(map(len, each.columns())) for each in (a, b)]
    return type(a) is type(b) and sizes[0] <= 2 * sizes[1]


def _over_ranks(
    ranks: Ranks, kinds: set[str], mine: Selection | None, drawn: list[bool], device: torch.device
) -> tuple[set[str], Selection | None, list[bool]]:
    """The same of all ranks, each of which has some of the anchors, in order: kinds, selection, what was drawn."""
    lists = [] if mine is None else [len(column) for column in mine.columns()]
    message = [sorted(kinds), lists, isinstance(mine, Pairs) and mine.repeats, drawn]
    everyone = ranks.exchange("what a miner selects", message)
    kinds = {kind for each in everyone for kind in each[0]}
    drawn = [any(some) for some in zip(*(each[3] for each in everyone), strict=True)]
    if len(kinds) != 1:
        return kinds, None, drawn
    count = 4 if kinds == {"Pairs"} else 3
    sizes = [each[1] or [0] * count for each in everyone]
    own = [torch.zeros(0, dtype=torch.long, device=device)] * count if mine is None else mine.columns()
    columns = [ranks.gather(column, [size[k] for size in sizes]) for k, column in enumerate(own)]
    if count == 3:
        return kinds, Triplets(*columns), drawn
    return kinds, Pairs(*columns, repeats=any(each[2] for each in everyone)), drawn


def _joined(parts: list[Selection]) -> Selection:
    """Selections of runs of anchors, put together."""
    columns = [torch.cat(lists) for lists in zip(*(part.columns() for part in parts), strict=True)]
    if isinstance(parts[0], Pairs):
        return Pairs(*columns, repeats=any(isinstance(p, Pairs) and p.repeats for p in parts))
    return Triplets(*columns)
