"""Decoupled contrastive loss."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import LossSlots
from metricreg.components.learned import LearnedNumber, PositiveNumber
from metricreg.components.logsumexp_loss import Exponents, LogSumExpLoss
from metricreg.components.loss import Terms
from metricreg.components.marks import takes_only_logsumexp
from metricreg.distances import CosineSimilarity
from metricreg.functional.logsumexp import weighted_logsumexp


class DecoupledContrastiveLoss(LogSumExpLoss):
    r"""The contrastive loss of NT-Xent without the positive pair in the denominator; DCL, and DCLW with weights.

    $$\ell = -w(a, p) \frac{s(a, p)}{\tau} + \log \sum_n e^{s(a, n) / \tau} \qquad
      w(a, p) = 2 - \frac{e^{s(a, p) / \sigma}}{\operatorname{mean}_{(a', p')} e^{s(a', p') / \sigma}}$$

    The weights are 1, or those of von Mises and Fisher, which are larger for farther pairs; the mean is over all
    positive pairs of the batch, and the gradient is that of the formula, through the weights too. Values may be
    negative. Of an anchor without negatives the first part is left. A distance enters with its sign turned. Yeh et al.
    2022, "Decoupled Contrastive Learning".

    Args:
        temperature: tau, greater than 0; `{"learned": 0.1}` to learn it.
        weighting: `"vmf"` for von Mises-Fisher weights of the positive pairs, or none.
        sigma: of those weights, greater than 0; they differ more for a smaller one.
    """

    counts_repeated: ClassVar[bool] = True
    default_distance = CosineSimilarity

    def __init__(
        self,
        temperature: PositiveNumber = 0.1,
        weighting: Literal["vmf"] | None = None,
        sigma: Annotated[float, Field(gt=0)] = 0.5,
        **slots: Unpack[LossSlots],
    ) -> None:
        super().__init__(**slots)
        self.temperature = LearnedNumber.of(temperature)
        self.weighting = weighting
        self.sigma = sigma

    def prepare(self, batch: Batch) -> Batch:
        """The logarithm of the mean that weights are relative to, over all positive pairs."""
        if self.weighting is None:
            return super().prepare(batch)
        sums, counts = batch.map(self._of_positives).unbind(1)
        sums = sums.masked_fill(counts == 0, 0.0)
        mean = weighted_logsumexp(sums[None], counts[None] != 0)[0] - counts.sum().clamp(min=1).log()
        return super().prepare(batch).replace(shared={"log_mean": mean.masked_fill(counts.sum() == 0, 0.0)})

    def exponents(self, distances: Tensor) -> Exponents:
        """Similarities over the temperature."""
        return distances, self.distance.sign / LearnedNumber.value(self.temperature), 0.0

    @takes_only_logsumexp
    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a positive pair, `[A, K]`."""
        negatives, near, among = self.logsumexp_and_positives(batch)
        negatives, near = negatives[:, None], self.distance.closeness(near)
        pull = near / LearnedNumber.value(self.temperature)
        if self.weighting is not None:
            above = (near / self.sigma - batch.shared["log_mean"]).masked_fill(among == 0, 0.0)
            pull = (2.0 - above.exp()) * pull
        push = negatives.masked_fill(negatives == -torch.inf, 0.0)
        return {"loss": Term(push - pull, among, kind="pos_pair")}

    def _of_positives(self, part: Batch) -> Tensor:
        """Each anchor's log-sum-exp of its positives, and their number: `[A, 2]`."""
        near, among = part.at_positives(self.distance.between(part))
        near = self.distance.closeness(near)
        sums = weighted_logsumexp(near / self.sigma, among)
        return torch.stack([sums, among.sum(1).to(sums.dtype)], 1)
