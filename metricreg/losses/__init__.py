"""The losses that metricreg ships, one a file: what the unreduced values of an objective are.

A file derives from `Loss`, or from a loss that others derive from, and says what its terms are for some anchors. It may
use distances and reducers. It must not know how it is evaluated; a loss around another is given that one, and asks it
for no more than every loss says.
"""

from metricreg.losses.adaface import AdaFaceLoss
from metricreg.losses.angular import AngularLoss
from metricreg.losses.arcface import ArcFaceLoss
from metricreg.losses.barlow_twins import BarlowTwinsLoss
from metricreg.losses.circle import CircleLoss
from metricreg.losses.contrastive import ContrastiveLoss
from metricreg.losses.cosface import CosFaceLoss
from metricreg.losses.cross_batch_memory import CrossBatchMemoryLoss
from metricreg.losses.curricularface import CurricularFaceLoss
from metricreg.losses.decoupled_contrastive import DecoupledContrastiveLoss
from metricreg.losses.dynamic_arcface import DynamicArcFaceLoss
from metricreg.losses.dynamic_soft_margin import DynamicSoftMarginLoss
from metricreg.losses.fast_ap import FastAPLoss
from metricreg.losses.generalized_lifted_structure import GeneralizedLiftedStructureLoss
from metricreg.losses.histogram import HistogramLoss
from metricreg.losses.instance import InstanceLoss
from metricreg.losses.intra_pair_variance import IntraPairVarianceLoss
from metricreg.losses.large_margin_softmax import LargeMarginSoftmaxLoss
from metricreg.losses.lifted_structure import LiftedStructureLoss
from metricreg.losses.manifold import ManifoldLoss
from metricreg.losses.margin import MarginLoss
from metricreg.losses.multi_similarity import MultiSimilarityLoss
from metricreg.losses.multi_supcon import MultiSupConLoss
from metricreg.losses.multiple import MultipleLosses
from metricreg.losses.nca import NCALoss
from metricreg.losses.normalized_softmax import NormalizedSoftmaxLoss
from metricreg.losses.npairs import NPairsLoss
from metricreg.losses.ntxent import NTXentLoss
from metricreg.losses.p2s_grad import P2SGradLoss
from metricreg.losses.pnp import PNPLoss
from metricreg.losses.proxy_anchor import ProxyAnchorLoss
from metricreg.losses.proxy_nca import ProxyNCALoss
from metricreg.losses.ranked_list import RankedListLoss
from metricreg.losses.recall_at_k import RecallAtKLoss
from metricreg.losses.selectively_contrastive_triplet import SelectivelyContrastiveTripletLoss
from metricreg.losses.self_supervised import SelfSupervisedLoss
from metricreg.losses.siglip import SigLIPLoss
from metricreg.losses.smooth_ap import SmoothAPLoss
from metricreg.losses.snr_contrastive import SNRContrastiveLoss
from metricreg.losses.soft_triple import SoftTripleLoss
from metricreg.losses.sphereface import SphereFaceLoss
from metricreg.losses.subcenter_arcface import SubCenterArcFaceLoss
from metricreg.losses.supcon import SupConLoss
from metricreg.losses.threshold_consistent_margin import ThresholdConsistentMarginLoss
from metricreg.losses.triplet_margin import TripletMarginLoss
from metricreg.losses.tuplet_margin import TupletMarginLoss
from metricreg.losses.vicreg import VICRegLoss

__all__ = [
    "AdaFaceLoss",
    "AngularLoss",
    "ArcFaceLoss",
    "BarlowTwinsLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossBatchMemoryLoss",
    "CurricularFaceLoss",
    "DecoupledContrastiveLoss",
    "DynamicArcFaceLoss",
    "DynamicSoftMarginLoss",
    "FastAPLoss",
    "GeneralizedLiftedStructureLoss",
    "HistogramLoss",
    "InstanceLoss",
    "IntraPairVarianceLoss",
    "LargeMarginSoftmaxLoss",
    "LiftedStructureLoss",
    "ManifoldLoss",
    "MarginLoss",
    "MultiSimilarityLoss",
    "MultiSupConLoss",
    "MultipleLosses",
    "NCALoss",
    "NPairsLoss",
    "NTXentLoss",
    "NormalizedSoftmaxLoss",
    "P2SGradLoss",
    "PNPLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "RankedListLoss",
    "RecallAtKLoss",
    "SNRContrastiveLoss",
    "SelectivelyContrastiveTripletLoss",
    "SelfSupervisedLoss",
    "SigLIPLoss",
    "SmoothAPLoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
    "SupConLoss",
    "ThresholdConsistentMarginLoss",
    "TripletMarginLoss",
    "TupletMarginLoss",
    "VICRegLoss",
]
