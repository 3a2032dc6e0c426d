"""Equal labels."""

from __future__ import annotations

from torch import Tensor

from metricreg.components import Match
from metricreg.errors import InputError


class SameLabelMatch(Match):
    r"""Samples with the same label belong together.

    $$y_i = y_j$$

    Labels are integers `[N]` of any value. This is what losses and miners without a match do.
    """

    @property
    def is_equality(self) -> bool:
        """True, unless a class finds them in a way of its own."""
        cls = type(self)
        return cls.positives is SameLabelMatch.positives and cls.related is SameLabelMatch.related

    def __init__(self) -> None:
        super().__init__()

    def check(self, labels: Tensor) -> None:
        """Refuse sets of labels."""
        if labels.ndim != 1:
            raise InputError(
                f"same_label compares one label a sample, [N]; got {list(labels.shape)}. For label sets [N, L] use the "
                "match 'share_any' or 'jaccard'"
            )

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        """Pairs of equal labels, `[A, M]`."""
        return labels[:, None] == ref_labels[None, :]
