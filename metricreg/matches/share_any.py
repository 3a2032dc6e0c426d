"""Label sets with something in common."""

from __future__ import annotations

from torch import Tensor

from metricreg.components import Match
from metricreg.matches.label_sets import check_label_sets, shared


class ShareAnyMatch(Match):
    r"""Samples whose label sets have at least one label in common belong together.

    $$|Y_i \cap Y_j| \ge 1$$

    Labels are `[N, L]`, bool or integers 0 and 1: whether sample n has label l; or `[N]`, sets of one.
    A sample without labels belongs to none.
    """

    def __init__(self) -> None:
        super().__init__()

    def check(self, labels: Tensor) -> None:
        """Refuse rows that are no label sets."""
        check_label_sets(labels, "share_any")

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        """Pairs with a common label, `[A, M]`."""
        return shared(labels, ref_labels) > 0
