"""Miners of pytorch-metric-learning."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from metricreg import Batch, InputError, Miner, Pairs, Triplets
from metricreg_pml.calls import is_alone, reference_labels
from metricreg_pml.theirs import called, constructed


class PMLMiner(Miner):
    """Selects what pytorch-metric-learning selects, sorted by anchor.

    Args:
        arguments: those of its class.
    """

    theirs: ClassVar[type[nn.Module]]

    def __init__(self, **arguments: Any) -> None:
        nn.Module.__init__(self)  # not that of a Miner, which has a distance and a match of its own
        self.match = None
        self.tuples_per_anchor = "all"
        self.pml: Any = constructed(type(self).theirs, arguments)

    def mine(self, batch: Batch) -> Pairs | Triplets:
        """Pairs or triplets of all anchors."""
        x, labels = batch.anchors, batch.anchor_labels
        if batch.match is not None:
            raise InputError(
                f"{type(self).__name__} goes by equal labels alone, and the loss has a match; use the miner of "
                "metricreg that has its name without 'pml/'"
            )
        if labels is None:
            raise InputError(f"{type(self).__name__} needs labels")
        if not len(x):
            none = torch.arange(0, device=x.device)
            return Triplets(none, none, none)
        others = () if is_alone(batch) else (batch.references, reference_labels(batch))
        with called(self.pml, x):
            found = self.pml(x, labels, *others)
        columns = [torch.as_tensor(column, device=x.device).long() for column in found]
        if batch.self_index is not None and others:
            columns = _without_self(columns, batch.self_index)
        if len(columns) == 3:
            return Triplets.of(*columns)
        anchor, positive, anchor2, negative = columns
        return Pairs.of(anchor, positive, anchor2, negative)

    def effective_arguments(self) -> dict[str, Any]:
        """Nothing besides what was given."""
        return {}


def _without_self(columns: list[Tensor], self_index: Tensor) -> list[Tensor]:
    """Tuples without those whose positive is the anchor itself, as among the references of a memory."""
    anchor, positive = columns[:2]
    other = self_index[anchor] != positive
    if len(columns) == 3:
        return [column[other] for column in columns]
    return [anchor[other], positive[other], *columns[2:]]
