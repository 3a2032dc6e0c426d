"""Angular miner."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Triplets
from metricreg.components import Miner, OwnDistanceMinerSlots
from metricreg.distances import LpDistance


class AngularMiner(Miner):
    r"""Keeps the triplets in which the negative sees anchor and positive under a wide angle.

    $$\arctan \frac{\lVert a - p \rVert}{2 \lVert n - c \rVert} > \text{angle} \qquad c = \frac{a + p}{2}$$

    Embeddings are scaled to unit length, and distances are Euclidean. The center c lies between anchor and positive,
    inside the unit sphere. Wang et al. 2017, "Deep Metric Learning with Angular Loss".

    Args:
        angle: in degrees, at least 0 and less than 90.
    """

    def __init__(
        self, angle: Annotated[float, Field(ge=0, lt=90)] = 20.0, **slots: Unpack[OwnDistanceMinerSlots]
    ) -> None:
        super().__init__(LpDistance(), **slots)
        self.angle = angle

    def width(self, batch: Batch) -> int:
        """K · (M + D): each triplet of an anchor is looked at, and each center made."""
        return sum(batch.references.shape) * max(1, batch.positive_index[0].shape[1])

    def select(self, batch: Batch) -> Triplets:
        """The triplets of some anchors with a wide angle."""
        anchors, references = self.distance.prepare(batch.anchors), self.distance.prepare(batch.references)
        index, counts = batch.positive_index
        positives = references[index]  # [A, K, D]
        sides = self.distance.matrix(anchors[:, None], positives)[:, 0, :, None]  # [A, K, 1]
        heights = self.distance.matrix((anchors[:, None] + positives) / 2, references)  # [A, K, M]
        wide = sides > 2 * math.tan(math.radians(self.angle)) * heights
        wanted = wide & counts[:, :, None] & (batch.negatives != 0)[:, None, :]
        anchor, place, negative = wanted.nonzero(as_tuple=True)
        return Triplets(anchor, index[anchor, place], negative)

    def effective_arguments(self) -> dict[str, Any]:
        """The slots in use; the distance is part of the definition."""
        return {slot: value for slot, value in super().effective_arguments().items() if slot != "distance"}
