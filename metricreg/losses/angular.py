"""Angular loss."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

from metricreg.batch import Batch
from metricreg.batch.terms import Term
from metricreg.components import Distance, Loss, LossSlots
from metricreg.components.loss import Terms
from metricreg.distances import LpDistance
from metricreg.engine.operands import listed_rows, product, same_rows
from metricreg.functional.logsumexp import LogSumExp, log_one_plus_exp, masked_logsumexp, which
from metricreg.functional.strips import Rowwise

ROOM = 0.75
"""The part of the range of exponents that is used."""
NEAR = 64
"""Rows between samples that stand together."""


class AngularLoss(Loss):
    r"""Bounds the angle at the negative of the triangle that it makes with a positive pair.

    $$\ell = \log \left( 1 + \sum_n e^{f(a, p, n)} \right)$$

    $$f(a, p, n) = 4 \tan^2 \alpha \langle x_a + x_p, x_n \rangle - 2 (1 + \tan^2 \alpha) \langle x_a, x_p \rangle$$

    All embeddings are unit vectors, negatives too. Products with a sum of embeddings are sums of their products. Wang
    et al. 2017, "Deep Metric Learning with Angular Loss".

    Args:
        alpha: the largest angle that costs little, in degrees, between 0 and 90.
    """

    distances: ClassVar[tuple[type[Distance], ...]] = (LpDistance,)

    def __init__(self, alpha: Annotated[float, Field(gt=0, lt=90)] = 40.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.alpha = alpha
        d = self.distance
        assert isinstance(d, LpDistance)
        if d.p != 2.0 or d.power != 1.0 or not d.normalize:
            raise ValueError(
                "AngularLoss is about angles of unit embeddings: LpDistance with p=2, power=1 and normalize=True, not "
                f"p={d.p:g}, power={d.power:g} and normalize={d.normalize}"
            )

    def prepare(self, batch: Batch) -> Batch:
        """Samples of a class together."""
        return batch.grouped()

    def terms(self, batch: Batch) -> Terms:
        """`loss`: a value a positive pair, `[A, K]`."""
        index, counts = batch.positive_index
        rows, positive = self._rows(batch, index, counts)
        products = product(rows, self.distance.prepared(batch.references))
        squared = math.tan(math.radians(self.alpha)) ** 2
        of_pairs = _OfPairs if self._steep(batch, 4.0 * squared) else _OfProducts
        exponents = of_pairs(positive, index, batch.negatives, 4.0 * squared, 2.0 * (1.0 + squared))
        found = exponents(products) if batch.selection is None else exponents.plain(products)
        return {"loss": Term(log_one_plus_exp(found), counts, kind="pos_pair")}

    def width(self, batch: Batch) -> int:
        """M: positives are anchors themselves where classes stand together; else (1 + K) M, their products, too."""
        index, counts = batch.positive_index
        if torch.compiler.is_compiling():
            return len(batch.references) * (1 + index.shape[1])
        together = batch.self_index is not None and batch.selection is None
        if batch.self_index is not None and together:
            together = not bool(((index - batch.self_index[:, None]).abs().gt(NEAR) & counts).any())
        return len(batch.references) * (1 if together else 1 + index.shape[1])

    def _steep(self, batch: Batch, scale: float) -> bool:
        """Whether exponentials of products of embeddings, at most 1, may be too large or small to multiply."""
        if type(self.distance).prepare is not LpDistance.prepare:
            return True
        room = -math.log(torch.finfo(batch.anchors.dtype).tiny)
        return 2.0 * scale + math.log(max(len(batch.references), 1)) > ROOM * room

    def _rows(self, batch: Batch, index: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """The anchors, and the positives that are not among them; where the positives `[A, K]` stand there."""
        anchors, references = self.distance.prepared(batch.anchors), self.distance.prepared(batch.references)
        number = len(anchors)
        if torch.compiler.is_compiling():  # for which how many there are is no number
            return torch.cat([anchors, references]), number + index
        place = index.new_full((len(references),), -1)
        if batch.self_index is not None and same_rows(batch.anchors, batch.references):
            place[batch.self_index] = torch.arange(number, device=index.device)
        others = torch.unique(index[counts & (place[index] < 0)])
        place[others] = number + torch.arange(len(others), device=index.device)
        rows = torch.cat([anchors, listed_rows(references, others)]) if len(others) else anchors
        return rows, place[index].clamp(min=0)


class _OfPairs(Rowwise):
    """Log Σⱼ exp(scale (xⱼ + yⱼ)) over the entries that count, less a factor times xₚ, of pairs of rows: `[A, K]`.

    The first A rows of the matrix are x.

    Args:
        second: `[A, K]`, which rows are y.
        index: `[A, K]`, the columns p.
        weight: `[A, M]`, which entries count (bool), or how often, which `plain` alone heeds.
        scale: a factor of the sums.
        factor: that of the entries p.
    """

    across: ClassVar[bool] = True

    def __init__(self, second: Tensor, index: Tensor, weight: Tensor, scale: float, factor: float) -> None:
        self.second, self.index, self.weight, self.scale, self.factor = second, index, weight, scale, factor
        self.logsumexp = LogSumExp(which(weight), scale)

    def rows(self, values: Tensor) -> int:
        return len(self.second)

    def plain(self, values: Tensor) -> Tensor:
        x = values[: len(self.second)]
        sums = (x[:, None] + values[self.second]).flatten(0, 1)
        weight = self.weight.repeat_interleave(self.second.shape[1], 0)
        if weight.dtype is torch.bool:
            found = LogSumExp(weight, self.scale).plain(sums)
        else:
            found = masked_logsumexp(sums, weight, self.scale)
        return found.view(self.second.shape) - self.factor * x.gather(1, self.index)

    def value(self, values: Tensor, rows: slice) -> Tensor:
        x = values[rows]
        found = -self.factor * x.gather(1, self.index[rows])
        for k in range(found.shape[1]):
            found[:, k] += self.logsumexp.value(self._plus(values, x, rows, k), rows)
        return found

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        x = values[rows]
        total = self.scratch(x, 1).zero_()
        for k in range(self.second.shape[1]):
            both, slope = self._plus(values, x, rows, k), self.scratch(x, 2)
            self.logsumexp.slope(both, rows, gradient[:, k], slope)
            out.index_add_(0, self.second[rows, k], slope)
            total += slope
        total.scatter_add_(1, self.index[rows], -self.factor * gradient)
        out[rows] += total

    def _plus(self, values: Tensor, x: Tensor, rows: slice, k: int) -> Tensor:
        """Rows x plus their k-th partners."""
        return torch.index_select(values, 0, self.second[rows, k], out=self.scratch(x)).add_(x)


class _OfProducts(_OfPairs):
    """The same, where exp(scale (x + y)) is the product of two exponentials, each of use to several pairs."""

    def value(self, values: Tensor, rows: slice) -> Tensor:
        found = -self.factor * values[rows].gather(1, self.index[rows])
        exponentials = self._exponentials(values)
        x = self._of_negatives(exponentials, rows)
        for k in range(found.shape[1]):
            found[:, k] += torch.linalg.vecdot(self._partners(exponentials, rows, k), x).log_()
        return found

    def slope(self, values: Tensor, rows: slice, gradient: Tensor, out: Tensor) -> None:
        exponentials = self._exponentials(values)
        x = self._of_negatives(exponentials, rows)
        total = torch.zeros_like(x)
        for k in range(self.second.shape[1]):
            products = self._partners(exponentials, rows, k).mul_(x)
            sums = products.sum(1)
            factor = gradient[:, k] * self.scale / sums.masked_fill_(sums == 0.0, torch.inf)  # where nothing counts
            products.mul_(factor[:, None])
            out.index_add_(0, self.second[rows, k], products)
            total += products
        total.scatter_add_(1, self.index[rows], -self.factor * gradient)
        out[rows] += total

    def _exponentials(self, values: Tensor) -> Tensor:
        """Of the whole matrix; kept, for its gradient."""
        key = values.data_ptr(), 0 if values.is_inference() else values._version
        if getattr(self, "_key", None) != key:
            self._of, self._key = values.detach(), key  # no other has its memory as long as it is kept
            self._found = torch.mul(values, self.scale).exp_()
        return self._found

    def _of_negatives(self, exponentials: Tensor, rows: slice) -> Tensor:
        return self.logsumexp.which.fill_(exponentials[rows].clone(), rows, 0.0)

    def _partners(self, exponentials: Tensor, rows: slice, k: int) -> Tensor:
        """The k-th partners of some rows."""
        partners = self.second[rows, k]
        return torch.index_select(exponentials, 0, partners, out=self.scratch(exponentials[: len(partners)]))
