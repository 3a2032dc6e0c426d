"""The matches that metricreg ships."""

from metricreg.matches.jaccard import JaccardMatch
from metricreg.matches.same_label import SameLabelMatch
from metricreg.matches.share_any import ShareAnyMatch

__all__ = ["JaccardMatch", "SameLabelMatch", "ShareAnyMatch"]
