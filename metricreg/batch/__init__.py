"""Some anchors against some references: what a loss sees, and what it says of them.

Ask it to read and check what a caller hands in, which pairs are positives and negatives, for the rows of a tile, and
for sums and counts of the terms that a loss returns. It must not know a loss, a distance or a reducer, nor how a loss
is evaluated: what the engine does for a batch it asks by the protocols `Context` and `Cache`.
"""

from metricreg.batch.batch import Batch
from metricreg.batch.tuples import Pairs, Selection, Triplets

__all__ = ["Batch", "Pairs", "Selection", "Triplets"]
