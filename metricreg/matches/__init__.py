"""The matches that metricreg ships, one a file: which samples belong together, by their labels.

A file derives from `Match` and compares labels with labels. It must not know embeddings, batches or losses.
"""

from metricreg.matches.jaccard import JaccardMatch
from metricreg.matches.same_label import SameLabelMatch
from metricreg.matches.share_any import ShareAnyMatch

__all__ = ["JaccardMatch", "SameLabelMatch", "ShareAnyMatch"]
