"""The miners that metricreg ships, one a file: which pairs or triplets of a batch are used.

A file derives from `Miner` and selects from some anchors, without gradient. It must not know the loss it is for.
"""

from metricreg.miners.angular import AngularMiner
from metricreg.miners.batch_easy_hard import BatchEasyHardMiner
from metricreg.miners.batch_hard import BatchHardMiner
from metricreg.miners.distance_weighted import DistanceWeightedMiner
from metricreg.miners.hdc import HDCMiner
from metricreg.miners.multi_similarity import MultiSimilarityMiner
from metricreg.miners.packaged_triplets import PackagedTripletsMiner
from metricreg.miners.pair_margin import PairMarginMiner
from metricreg.miners.triplet_margin import TripletMarginMiner
from metricreg.miners.uniform_histogram import UniformHistogramMiner

__all__ = [
    "AngularMiner",
    "BatchEasyHardMiner",
    "BatchHardMiner",
    "DistanceWeightedMiner",
    "HDCMiner",
    "MultiSimilarityMiner",
    "PackagedTripletsMiner",
    "PairMarginMiner",
    "TripletMarginMiner",
    "UniformHistogramMiner",
]
