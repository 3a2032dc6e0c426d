"""Recall@k surrogate loss."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import CosineSimilarity
from metricreg.functional.soft_ranks import soft_ranks


class RecallAtKLoss(Loss):
    r"""One less the recall of each anchor's first k, with sigmoids in place of comparisons, averaged over several k.

    $$\ell_a = \frac{1}{|k|} \sum_k \left[ 1 - \frac{1}{\min(k, |P_a|)} \sum_{i \in P_a}
      \sigma \left( \frac{k - r_i}{\tau_k} \right) \right]_+ \qquad
      r_i = 1 + \sum_{j \in P_a \cup N_a, j \ne i} \sigma \left( \frac{s(a, j) - s(a, i)}{\tau} \right)$$

    sigma is the logistic function, P are the positives and N the negatives; an anchor is not ranked itself. Tuples or a
    miner weigh each anchor's loss by how often it occurs in them. An anchor without positives has none. A distance
    enters with its sign turned. Costs a comparison for each of the up to K positives of an anchor with each of the M
    references. The paper's mixup is no part of it. Patel et al. 2022, "Recall@k Surrogate Loss with Large Batches and
    Similarity Mixup".

    Args:
        k: how many of the first references count, each at least 1.
        k_temperatures: tau_k, in ranks, one for each k, greater than 0; 1 for each if None.
        temperature: tau, in units of the similarity, greater than 0.
    """

    default_distance = CosineSimilarity

    def __init__(
        self,
        k: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (1, 2, 4, 8, 16),
        k_temperatures: tuple[Annotated[float, Field(gt=0)], ...] | None = None,
        temperature: Annotated[float, Field(gt=0)] = 0.01,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.k = k
        self.k_temperatures = (1.0,) * len(k) if k_temperatures is None else k_temperatures
        self.temperature = temperature
        if len(self.k_temperatures) != len(k):
            raise ValueError(f"k_temperatures has {len(self.k_temperatures)} entries for {len(k)} of k; give one each")

    def prepare(self, batch: Batch) -> Batch:
        """Tuples become weights of the anchors."""
        return batch.replace(selection=None, weights=batch.row_weights())

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value an anchor, `[A]`."""
        s = self.distance.closeness(self.distance.between(batch))
        ranks = soft_ranks(s, *batch.positive_index, batch.negative_mask, self.temperature)
        rank, count = 1.0 + ranks.positives + ranks.negatives, ranks.valid.sum(1)
        losses = []
        for k, temperature in zip(self.k, self.k_temperatures, strict=True):
            missed = torch.sigmoid((rank - k) / temperature).masked_fill(~ranks.valid, 0.0).sum(1)
            # of more than k positives, all but k cannot be among the first k
            losses.append((missed - (count - k).clamp(min=0)).relu() / count.clamp(min=1, max=k))
        loss = torch.stack(losses).mean(0)
        return {"loss": Term(loss if batch.weights is None else loss * batch.weights, count != 0)}

    def width(self, batch: Batch) -> int:
        """K · M values an anchor."""
        return len(batch.references) * max(1, batch.positive_index[0].shape[1])
