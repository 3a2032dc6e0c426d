"""The regularizers that metricreg ships, one a file: a penalty on embeddings, class vectors or weights.

A file derives from `Regularizer` and says what the terms are of a matrix. It must not know what the matrix is of.
"""

from metricreg.regularizers.center_invariant import CenterInvariantRegularizer
from metricreg.regularizers.l1 import L1Regularizer
from metricreg.regularizers.l1_l2 import L1L2Regularizer
from metricreg.regularizers.l2 import L2Regularizer
from metricreg.regularizers.lp import LpRegularizer
from metricreg.regularizers.orthogonal import OrthogonalRegularizer
from metricreg.regularizers.regular_face import RegularFaceRegularizer
from metricreg.regularizers.sparse_centers import SparseCentersRegularizer
from metricreg.regularizers.spherical_embedding import SphericalEmbeddingRegularizer
from metricreg.regularizers.zero_mean import ZeroMeanRegularizer

__all__ = [
    "CenterInvariantRegularizer",
    "L1L2Regularizer",
    "L1Regularizer",
    "L2Regularizer",
    "LpRegularizer",
    "OrthogonalRegularizer",
    "RegularFaceRegularizer",
    "SparseCentersRegularizer",
    "SphericalEmbeddingRegularizer",
    "ZeroMeanRegularizer",
]
