"""Some anchors against some references: what a loss sees, and what it says of them.

Ask it what a caller's tensors are, which pairs count, and what the unreduced values of a loss are. It knows no loss, no
distance and not how a loss is evaluated.
"""

from metricreg.batch.batch import Batch
from metricreg.batch.tuples import Pairs, Selection, Triplets

__all__ = ["Batch", "Pairs", "Selection", "Triplets"]
