"""Miner of batches that are triplets already."""

from __future__ import annotations

from typing import Any

import torch

from metricreg.batch import Batch
from metricreg.batch.tuples import Triplets
from metricreg.components import Miner
from metricreg.distances import LpDistance
from metricreg.errors import InputError


class PackagedTripletsMiner(Miner):
    r"""Takes a batch as the triplets that its data loader put together: anchor, positive, negative, and so on.

    $$(3i,\; 3i + 1,\; 3i + 2) \qquad i = 0, \dots, N / 3 - 1$$

    Labels are not looked at, and may be None.
    """

    def __init__(self) -> None:
        super().__init__(LpDistance())

    def mine(self, batch: Batch) -> Triplets:
        """One triplet of every three rows.

        Raises:
            InputError: a number of rows that is no multiple of 3, or a separate reference set.
        """
        if batch.references is not batch.anchors:
            raise InputError("packaged_triplets takes the triplets of one batch, and no ref_embeddings")
        if len(batch) % 3:
            raise InputError(f"packaged_triplets takes rows in threes, and there are {len(batch)}")
        return Triplets(*torch.arange(len(batch), device=batch.anchors.device).view(-1, 3).unbind(1))

    def effective_arguments(self) -> dict[str, Any]:
        """None: nothing is compared."""
        return {}
