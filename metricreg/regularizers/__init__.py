"""The regularizers that metricreg ships."""

from metricreg.regularizers.center_invariant import CenterInvariantRegularizer
from metricreg.regularizers.lp import LpRegularizer
from metricreg.regularizers.regular_face import RegularFaceRegularizer
from metricreg.regularizers.sparse_centers import SparseCentersRegularizer
from metricreg.regularizers.zero_mean import ZeroMeanRegularizer

__all__ = [
    "CenterInvariantRegularizer",
    "LpRegularizer",
    "RegularFaceRegularizer",
    "SparseCentersRegularizer",
    "ZeroMeanRegularizer",
]
