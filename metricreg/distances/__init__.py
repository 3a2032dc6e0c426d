"""The distances that metricreg ships."""

from metricreg.distances.cosine import CosineSimilarity
from metricreg.distances.dot_product import DotProductSimilarity
from metricreg.distances.lp import LpDistance
from metricreg.distances.mahalanobis import MahalanobisDistance
from metricreg.distances.snr import SNRDistance

__all__ = ["CosineSimilarity", "DotProductSimilarity", "LpDistance", "MahalanobisDistance", "SNRDistance"]
