"""The miners that metricreg ships."""

from metricreg.miners.batch_hard import BatchHardMiner
from metricreg.miners.multi_similarity import MultiSimilarityMiner
from metricreg.miners.triplet_margin import TripletMarginMiner

__all__ = ["BatchHardMiner", "MultiSimilarityMiner", "TripletMarginMiner"]
