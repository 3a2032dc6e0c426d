"""Batch easy-hard miner."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.tuples import Pairs
from metricreg.components import Miner, MinerSlots
from metricreg.distances import LpDistance
from metricreg.functional.masked import masked_argmax

Strategy = Literal["all", "easy", "hard", "semihard"]


class BatchEasyHardMiner(Miner):
    r"""Keeps one positive and one negative an anchor, each the easiest or the hardest, or all of them.

    $$p = \underset{p'}{\arg\min}\, d(a, p') \text{ (easy)} \qquad p = \underset{p'}{\arg\max}\, d(a, p')
    \text{ (hard)} \qquad n = \underset{n'}{\arg\min}\, \{ d(a, n') : d(a, n') > d(a, p) \} \text{ (semihard)}$$

    Of negatives the farthest is the easy one, and the nearest the hard one. A semihard negative is the nearest of those
    farther than the chosen positive; a semihard positive is the farthest of those nearer than the chosen negative.
    Where neither strategy is `all`, an anchor needs both to keep anything. Xuan et al. 2020, "Improved Embeddings with
    Easy Positive Triplet Mining".

    Args:
        pos_strategy: `all`, `easy`, `hard` or `semihard`.
        neg_strategy: `all`, `easy`, `hard` or `semihard`. With a semihard strategy, the other is `easy` or `hard`.
        allowed_pos_range: least and greatest distance of a positive pair, both allowed; others are left out.
        allowed_neg_range: the same of negative pairs.
    """

    default_distance = LpDistance

    def __init__(
        self,
        pos_strategy: Strategy = "easy",
        neg_strategy: Strategy = "semihard",
        allowed_pos_range: tuple[float, float] | None = None,
        allowed_neg_range: tuple[float, float] | None = None,
        **slots: Unpack[MinerSlots],
    ) -> None:
        super().__init__(**slots)
        if "semihard" in (pos_strategy, neg_strategy) and not {pos_strategy, neg_strategy} & {"easy", "hard"}:
            raise ValueError(
                f"semihard is measured against one pair of the other sort, so the other strategy is easy or hard; "
                f"got pos_strategy={pos_strategy!r}, neg_strategy={neg_strategy!r}"
            )
        for name, allowed in (("allowed_pos_range", allowed_pos_range), ("allowed_neg_range", allowed_neg_range)):
            if allowed is not None and allowed[0] > allowed[1]:
                raise ValueError(f"{name} is (least, greatest); got {allowed[0]} > {allowed[1]}")
        self.pos_strategy, self.neg_strategy = pos_strategy, neg_strategy
        self.allowed_pos_range, self.allowed_neg_range = allowed_pos_range, allowed_neg_range

    def select(self, batch: Batch) -> Pairs:
        """The wanted pairs of some anchors."""
        if not len(batch.references):
            empty = batch.anchors.new_zeros(0, dtype=torch.long)
            return Pairs(empty, empty, empty, empty, repeats=False)
        d = self.distance.between(batch)
        closeness = self.distance.closeness(d)
        positives = _within(batch.positives != 0, d, self.allowed_pos_range)
        negatives = _within(batch.negatives != 0, d, self.allowed_neg_range)
        near_positive, near_negative = self.pos_strategy == "easy", self.neg_strategy != "easy"
        if self.pos_strategy == "semihard":
            negatives = _extreme(negatives, closeness, near_negative)
            positives = positives & (closeness > _chosen(negatives, closeness))
        if self.pos_strategy != "all":
            positives = _extreme(positives, closeness, near_positive)
        if self.neg_strategy == "semihard":
            negatives = negatives & (closeness < _chosen(positives, closeness))
        if self.neg_strategy != "all":
            negatives = _extreme(negatives, closeness, near_negative)
        if "all" not in (self.pos_strategy, self.neg_strategy):
            both = positives.any(1, keepdim=True) & negatives.any(1, keepdim=True)
            positives, negatives = positives & both, negatives & both
        return Pairs(*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True), repeats=False)


def _within(pairs: Tensor, d: Tensor, allowed: tuple[float, float] | None) -> Tensor:
    return pairs if allowed is None else pairs & (d >= allowed[0]) & (d <= allowed[1])


def _extreme(pairs: Tensor, closeness: Tensor, nearest: bool) -> Tensor:
    """Of the pairs of each anchor `[A, M]` only the nearest, or the farthest."""
    values = closeness if nearest else -closeness
    column = masked_argmax(values, pairs)[:, None]
    return torch.zeros_like(pairs).scatter(1, column, pairs.gather(1, column))


def _chosen(pairs: Tensor, closeness: Tensor) -> Tensor:
    """How close each anchor's one pair is, `[A, 1]`; anything where it has none."""
    return closeness.gather(1, pairs.byte().argmax(1, keepdim=True))
