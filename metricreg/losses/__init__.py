"""The losses that metricreg ships."""

from metricreg.losses.arcface import ArcFaceLoss
from metricreg.losses.contrastive import ContrastiveLoss
from metricreg.losses.cosface import CosFaceLoss
from metricreg.losses.multi_similarity import MultiSimilarityLoss
from metricreg.losses.multiple import MultipleLosses
from metricreg.losses.ntxent import NTXentLoss
from metricreg.losses.proxy_anchor import ProxyAnchorLoss
from metricreg.losses.supcon import SupConLoss
from metricreg.losses.triplet_margin import TripletMarginLoss

__all__ = [
    "ArcFaceLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "MultiSimilarityLoss",
    "MultipleLosses",
    "NTXentLoss",
    "ProxyAnchorLoss",
    "SupConLoss",
    "TripletMarginLoss",
]
