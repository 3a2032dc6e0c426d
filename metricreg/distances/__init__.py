"""The distances that metricreg ships, one a file: how far, or how similar, two embeddings are.

A file derives from `Distance` and says what the matrix is of prepared embeddings. It must not know a batch's labels, a
loss or a plan. A plugin's distance is written the same way; nothing here is imported by name but by other components.
"""

from metricreg.distances.cosine import CosineSimilarity
from metricreg.distances.dot_product import DotProductSimilarity
from metricreg.distances.lp import LpDistance
from metricreg.distances.mahalanobis import MahalanobisDistance
from metricreg.distances.snr import SNRDistance

__all__ = ["CosineSimilarity", "DotProductSimilarity", "LpDistance", "MahalanobisDistance", "SNRDistance"]
