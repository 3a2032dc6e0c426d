"""What the installed pytorch-metric-learning has, and what it is called in a spec. Imports neither it nor torch."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

LIBRARY = "pytorch_metric_learning"
PREFIX = "PML"
"""What the names of the classes made here begin with, so that an error tells them from those of the two libraries."""

MODULES = {
    "distance": "distances",
    "loss": "losses",
    "miner": "miners",
    "reducer": "reducers",
    "regularizer": "regularizers",
}
"""Kind → where its classes stand in pytorch-metric-learning."""

NAMES: dict[str, dict[str, str]] = {
    "distance": {
        "CosineSimilarity": "cosine",
        "DotProductSimilarity": "dot_product",
        "LpDistance": "lp",
        "SNRDistance": "snr",
    },
    "loss": {
        "AngularLoss": "angular",
        "ArcFaceLoss": "arcface",
        "CircleLoss": "circle",
        "ContrastiveLoss": "contrastive",
        "CosFaceLoss": "cosface",
        "CrossBatchMemory": "cross_batch_memory",
        "DynamicSoftMarginLoss": "dynamic_soft_margin",
        "FastAPLoss": "fast_ap",
        "GeneralizedLiftedStructureLoss": "generalized_lifted_structure",
        "HistogramLoss": "histogram",
        "InstanceLoss": "instance",
        "IntraPairVarianceLoss": "intra_pair_variance",
        "LargeMarginSoftmaxLoss": "large_margin_softmax",
        "LiftedStructureLoss": "lifted_structure",
        "ManifoldLoss": "manifold",
        "MarginLoss": "margin",
        "MultiSimilarityLoss": "multi_similarity",
        "MultipleLosses": "multiple",
        "NCALoss": "nca",
        "NPairsLoss": "npairs",
        "NTXentLoss": "ntxent",
        "NormalizedSoftmaxLoss": "normalized_softmax",
        "P2SGradLoss": "p2s_grad",
        "PNPLoss": "pnp",
        "ProxyAnchorLoss": "proxy_anchor",
        "ProxyNCALoss": "proxy_nca",
        "RankedListLoss": "ranked_list",
        "SelfSupervisedLoss": "self_supervised",
        "SignalToNoiseRatioContrastiveLoss": "snr_contrastive",
        "SmoothAPLoss": "smooth_ap",
        "SoftTripleLoss": "soft_triple",
        "SphereFaceLoss": "sphereface",
        "SubCenterArcFaceLoss": "subcenter_arcface",
        "SupConLoss": "supcon",
        "ThresholdConsistentMarginLoss": "threshold_consistent_margin",
        "TripletMarginLoss": "triplet_margin",
        "TupletMarginLoss": "tuplet_margin",
        "VICRegLoss": "vicreg",
    },
    "miner": {
        "AngularMiner": "angular",
        "BatchEasyHardMiner": "batch_easy_hard",
        "BatchHardMiner": "batch_hard",
        "DistanceWeightedMiner": "distance_weighted",
        "EmbeddingsAlreadyPackagedAsTriplets": "packaged_triplets",
        "HDCMiner": "hdc",
        "MultiSimilarityMiner": "multi_similarity",
        "PairMarginMiner": "pair_margin",
        "TripletMarginMiner": "triplet_margin",
        "UniformHistogramMiner": "uniform_histogram",
    },
    "reducer": {
        "AvgNonZeroReducer": "avg_non_zero",
        "ClassWeightedReducer": "class_weighted",
        "DivisorReducer": "divisor",
        "DoNothingReducer": "do_nothing",
        "MeanReducer": "mean",
        "MultipleReducers": "multiple",
        "PerAnchorReducer": "per_anchor",
        "SumReducer": "sum",
        "ThresholdReducer": "threshold",
    },
    "regularizer": {
        "CenterInvariantRegularizer": "center_invariant",
        "LpRegularizer": "lp",
        "RegularFaceRegularizer": "regular_face",
        "SparseCentersRegularizer": "sparse_centers",
        "ZeroMeanRegularizer": "zero_mean",
    },
}
"""Kind → class → name: that of metricreg's own component, where it has one. A class of another version that is not
among these is called by its own name in snake case."""

NO_COMPONENTS = {
    "BaseDistance": "to derive from",
    "BaseLossWrapper": "to derive from",
    "BaseMetricLossFunction": "to derive from",
    "BaseMiner": "to derive from",
    "BaseReducer": "to derive from",
    "BaseRegularizer": "to derive from",
    "BatchedDistance": "calls a function with a part of the distances at a time, and gives none",
    "EmbeddingRegularizerMixin": "to derive from",
    "GenericPairLoss": "to derive from",
    "WeightRegularizerMixin": "to derive from",
}
"""Classes that stand among the others and are no components, and why."""


@cache
def components(kind: str) -> dict[str, str]:
    """Name → class, of all of a kind that the installed version has.

    Raises:
        ImportError: pytorch-metric-learning is not installed, or its files cannot be read.
    """
    found = [cls for cls in _public(MODULES[kind]) if cls not in NO_COMPONENTS]
    return {NAMES[kind].get(cls) or _snake(cls, kind): cls for cls in found}


def _public(module: str) -> list[str]:
    """The classes that a module of pytorch-metric-learning imports from its files, read and not run."""
    spec = find_spec(LIBRARY)
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    if not places:
        raise ImportError("metricreg-pml needs pytorch-metric-learning: pip install 'pytorch-metric-learning>=2.4'")
    tree = ast.parse((Path(places[0]) / module / "__init__.py").read_text(encoding="utf-8"))
    imported = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [alias.asname or alias.name for node in imported for alias in node.names]


def _snake(cls: str, kind: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls).lower()
    return words.removesuffix(f"_{kind}")
