"""Label sets that are nearly the same."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from metricreg.components import Match
from metricreg.matches.label_sets import check_label_sets, jaccard_similarity


class JaccardMatch(Match):
    r"""Samples whose label sets overlap enough belong together.

    $$\frac{|Y_i \cap Y_j|}{|Y_i \cup Y_j|} \ge t$$

    Labels are `[N, L]`, bool or integers 0 and 1: whether sample n has label l; or `[N]`, sets of one.
    Two samples without labels have identical sets, of similarity 1. Jaccard 1901, "Étude comparative de la distribution
    florale dans une portion des Alpes et des Jura".

    Args:
        threshold: t, 0 to 1, where only identical sets match.
    """

    def __init__(self, threshold: Annotated[float, Field(ge=0, le=1)] = 0.5) -> None:
        super().__init__()
        self.threshold = threshold

    def check(self, labels: Tensor) -> None:
        """Refuse rows that are no label sets."""
        check_label_sets(labels, "jaccard")

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        """Pairs with enough in common, `[A, M]`."""
        return jaccard_similarity(labels, ref_labels) >= self.threshold
