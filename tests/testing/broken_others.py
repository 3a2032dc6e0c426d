"""Components of the other kinds, each broken in one way, by the check that is there to find it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

import metricreg
from metricreg import Batch, HingeTriplets, Pairs, RegularizerSlots, Scalar, Term
from metricreg.distances import LpDistance

# -- distances ----------------------------------------------------------------------------------------------------------


class CityBlock(metricreg.Distance):
    """Sum of the absolute differences, `[X, Y]`."""

    def __init__(self) -> None:
        super().__init__()

    @metricreg.symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return (x[..., :, None, :] - y[..., None, :, :]).abs().sum(-1)


class DistanceOfNumbers(CityBlock):
    """Hides NaN, `[X, Y]`."""

    @metricreg.symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return super().matrix(x.nan_to_num(), y.nan_to_num())


class DistanceWithHalfAGradient(CityBlock):
    """Has half of its gradient, `[X, Y]`."""

    def prepare(self, x: Tensor) -> Tensor:
        return (x + x.detach()) / 2


class DistanceThatDividesByLength(CityBlock):
    """Of unit rows, made too simply, `[X, Y]`."""

    def prepare(self, x: Tensor) -> Tensor:
        return x / x.norm(dim=-1, keepdim=True)


class DistanceOfExponentials(CityBlock):
    """Of exponentials, `[X, Y]`."""

    def prepare(self, x: Tensor) -> Tensor:
        return x.exp()


class DistanceOverTheSum(CityBlock):
    """Of rows over their sum, `[X, Y]`."""

    def prepare(self, x: Tensor) -> Tensor:
        return x / (1.0 + x.abs().sum())


class DistanceOfTwoAxes(CityBlock):
    """A product for matrices alone, `[X, Y]`."""

    is_inverted = True

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.mm(x, y.t())


class DistanceByTheSet(CityBlock):
    """Over the largest of all, `[X, Y]`."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        found = super().matrix(x, y)
        return found if found.shape[-1] < 2 else found / found.mean()


class DistanceThatKeeps(CityBlock):
    """Keeps what it was given, `[X, Y]`."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        self.last = x.detach()
        return super().matrix(x, y)


class DistanceOneWay(CityBlock):
    """Longer one way, `[X, Y]`."""

    @metricreg.symmetric
    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return (2.0 * x[..., :, None, :] - y[..., None, :, :]).abs().sum(-1)


class DistanceOutOfRange(CityBlock):
    """States too small a range, `[X, Y]`."""

    def matrix(self, x: Tensor, y: Tensor) -> Tensor:
        return (x[..., :, None, :] - y[..., None, :, :]).abs().sum(-1)

    def value_range(self) -> tuple[float, float] | None:
        return 0.0, 1.0


class DistanceTheWrongWay(CityBlock):
    """Says that it is a similarity, `[X, Y]`."""

    is_inverted = True


class DistanceInHalf(CityBlock):
    """Computes in whatever it is given, `[X, Y]`."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        found: Tensor = self.matrix(x, x if y is None else y)
        return found


# -- reducers -----------------------------------------------------------------------------------------------------------


class Mean(metricreg.Reducer):
    """Mean of all values."""

    def __init__(self) -> None:
        super().__init__()

    @metricreg.by_value
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return term.sum(), term.count()

    def finalize(self, *statistics: Tensor) -> Tensor:
        total, count = statistics
        return total / count.clamp(min=1)


class Largest(metricreg.Reducer):
    """The largest value."""

    def __init__(self) -> None:
        super().__init__()

    def reduce(self, term: Term) -> Tensor:
        values = term.values if term.weight is None else term.values[(term.weight != 0).expand(term.values.shape)]
        return torch.cat(
            [values.flatten(), values.new_full((1,), -1e3) + 0 * term.values.where(term.values == 0, 0).sum()]
        ).max()


class MeanOfMeans(Mean):
    """A mean of means."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return term.sum() / term.count().clamp(min=1), torch.ones((), dtype=torch.int64)


class FinalizesAnother(Mean):
    """Reduces the whole in another way."""

    def reduce(self, term: Term) -> Tensor:
        return term.sum()

    @property
    def additive(self) -> bool:
        return True


class CountsOnce(Mean):
    """Counts values that repeat once."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        if term.weight is None or isinstance(term, HingeTriplets):
            return term.sum(), term.count()
        kept = term.weight != 0
        return term.values.where(kept, 0.0).sum(), kept.expand(term.values.shape).sum()


class MultipliesNaN(Mean):
    """Multiplies by the weight."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        if term.weight is None or isinstance(term, HingeTriplets):
            return term.sum(), term.count()
        return (term.values * term.weight).sum(), term.count()


class MeanOfAnchors(Mean):
    """A mean of the anchors' means, which is not by value."""

    @metricreg.by_value
    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        total, count = term.per_anchor()
        return (total / count.clamp(min=1)).sum(), (count > 0).sum()


class MeanOfNumbers(Mean):
    """Leaves NaN out."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        return term.sum(term.values.nan_to_num()), term.count()


class MeanWithHalfAGradient(Mean):
    """Has half of its gradient."""

    def finalize(self, *statistics: Tensor) -> Tensor:
        found = super().finalize(*statistics)
        return (found + found.detach()) / 2


class MeanOfNothing(Mean):
    """Divides by a number that may be zero."""

    def finalize(self, *statistics: Tensor) -> Tensor:
        total, count = statistics
        return total / count


class WideMean(Mean):
    """Makes float64 of everything."""

    def finalize(self, *statistics: Tensor) -> Tensor:
        return super().finalize(*statistics).double()


class MeanThatKeeps(Mean):
    """Keeps its last value."""

    def statistics(self, term: Term) -> tuple[Tensor, ...]:
        self.last = term.count()
        return super().statistics(term)


# -- regularizers -------------------------------------------------------------------------------------------------------


class Squares(metricreg.Regularizer):
    """Squares of the entries of each row, `[N]`."""

    def __init__(self, **slots: Unpack[RegularizerSlots]) -> None:
        super().__init__(**slots)

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return {"loss": Term(x.square().sum(1))}


class SquaresByPlace(Squares):
    """Weighs rows by their place, `[N]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return {"loss": Term(x.square().sum(1) * torch.arange(len(x)))}


class SquaresOfNumbers(Squares):
    """Hides NaN, `[N]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return super().terms(x.nan_to_num())


class SquaresWithHalfAGradient(Squares):
    """Has half of its gradient, `[N]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return super().terms((x + x.detach()) / 2)


class Deviation(Squares):
    """Needs two rows, `[D]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return {"loss": Scalar((x.var(0).sum(),), lambda value: value)}


class InverseLengths(Squares):
    """Divides by lengths, `[N]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return {"loss": Term(1e-3 / x.norm(dim=1))}


class ExponentialsOfSquares(Squares):
    """Grows too fast, `[N]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        return {"loss": Term(x.square().mean(1).exp())}


class SquaresInPlace(Squares):
    """Changes what it is given, `[N]`."""

    def terms(self, x: Tensor) -> Mapping[str, Term | Scalar]:
        x.detach().add_(0.0)
        return super().terms(x)


class SquaresOfAnyShape(Squares):
    """Says that it takes any shape, `[N]`."""

    any_shape = True


# -- miners -------------------------------------------------------------------------------------------------------------


class Near(metricreg.Miner):
    """All positive pairs, and negative pairs that are near."""

    def __init__(self) -> None:
        super().__init__(LpDistance())

    def select(self, batch: Batch) -> Pairs:
        near = self.distance.between(batch) < 1.0
        positives, negatives = batch.positives != 0, (batch.negatives != 0) & near
        return Pairs(*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True))

    def effective_arguments(self) -> dict[str, Any]:
        return {}


class FirstRows(Near):
    """Mines the first rows alone."""

    def mine(self, batch: Batch) -> Pairs:
        found = super().mine(batch)
        few = found.anchor < 3
        return Pairs(found.anchor[few], found.positive[few], found.anchor2, found.negative)


class NearerThanMost(Near):
    """Goes by the mean of all distances."""

    def select(self, batch: Batch) -> Pairs:
        d = self.distance.between(batch)
        positives, negatives = batch.positives != 0, (batch.negatives != 0) & (d < d.mean())
        return Pairs(*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True))


class NearOfRoundedLabels(Near):
    """Compares labels as float32."""

    def select(self, batch: Batch) -> Pairs:
        found = super().select(batch)
        labels = batch.anchor_labels
        if labels is None:
            raise metricreg.InputError("labels are needed")
        others = batch.reference_labels
        assert others is not None
        equal = labels.float()[:, None] == others.float()[None]
        return Pairs(*equal.nonzero(as_tuple=True), found.anchor2, found.negative)


class TakesTheFirst(Near):
    """Takes an element that may not be there."""

    def mine(self, batch: Batch) -> Pairs:
        batch.anchors[0]
        return super().mine(batch)


class NeedsANegative(Near):
    """Takes a negative pair that may not be there."""

    def mine(self, batch: Batch) -> Pairs:
        found = super().mine(batch)
        if len(batch) > 2:
            batch.negatives.nonzero()[0]
        return found


class ShufflesPython(Near):
    """Keeps what it found."""

    def mine(self, batch: Batch) -> Pairs:
        batch.anchor_labels.add_(0)
        return super().mine(batch)


# -- matches ------------------------------------------------------------------------------------------------------------


class Shares(metricreg.Match):
    """Sets with a common label, of labels `[N, L]`."""

    def __init__(self) -> None:
        super().__init__()

    def check(self, labels: Tensor) -> None:
        if labels.ndim != 2:
            raise metricreg.InputError("give sets of labels")

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        return (labels[:, None] & ref_labels[None]).any(-1)


class Contains(Shares):
    """Sets that contain another, of labels `[N, L]`."""

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        return (labels[:, None] >= ref_labels[None]).all(-1)


class EqualHalves(metricreg.Match):
    """Labels with the same half, which is not equality, of `[N]`."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def is_equality(self) -> bool:
        return True

    def check(self, labels: Tensor) -> None:
        if labels.ndim != 1:
            raise metricreg.InputError("give one label a sample")

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        return labels[:, None] // 2 == ref_labels[None] // 2


class SharesMore(Shares):
    """Sets with more in common than the sets have on average, of labels `[N, L]`."""

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        common = (labels[:, None] & ref_labels[None]).sum(-1)
        return common > common.float().mean()


class SharesAndKeeps(Shares):
    """Keeps the labels, `[N, L]`."""

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        self.labels = labels
        return super().positives(labels, ref_labels)


class SharesInOnePiece(Shares):
    """Wants labels in one piece, `[N, L]`."""

    def positives(self, labels: Tensor, ref_labels: Tensor) -> Tensor:
        labels.view(-1)
        return super().positives(labels, ref_labels)


SOUND = (CityBlock, Mean, Largest, Squares, Near, Shares)
BROKEN: dict[type[metricreg.components.component.Component], str] = {
    DistanceOfNumbers: "shows_nan",
    DistanceWithHalfAGradient: "has_the_right_gradient",
    DistanceThatDividesByLength: "bears_zero_and_equal_rows",
    DistanceOfExponentials: "bears_long_and_short_rows",
    DistanceOverTheSum: "prepares_each_row_by_itself",
    DistanceOfTwoAxes: "is_the_same_for_every_question",
    DistanceByTheSet: "is_the_same_for_every_question",
    DistanceThatKeeps: "is_pure",
    DistanceOneWay: "is_symmetric_where_marked",
    DistanceOutOfRange: "stays_in_its_range",
    DistanceTheWrongWay: "points_the_way_it_says",
    DistanceInHalf: "computes_half_in_float32",
    MeanOfMeans: "adds_up",
    FinalizesAnother: "adds_up",
    CountsOnce: "reduces_terms_of_every_form",
    MultipliesNaN: "ignores_what_does_not_count",
    MeanOfAnchors: "is_by_value_where_marked",
    MeanOfNumbers: "shows_nan",
    MeanWithHalfAGradient: "has_the_right_gradient",
    MeanOfNothing: "bears_few_rows",
    WideMean: "keeps_the_type",
    MeanThatKeeps: "is_pure",
    SquaresByPlace: "ignores_the_order_of_rows",
    SquaresOfNumbers: "shows_nan",
    SquaresWithHalfAGradient: "has_the_right_gradient",
    Deviation: "bears_few_rows",
    InverseLengths: "bears_zero_and_equal_rows",
    ExponentialsOfSquares: "bears_long_and_short_rows",
    SquaresInPlace: "leaves_its_inputs_alone",
    SquaresOfAnyShape: "takes_any_shape_where_it_says",
    FirstRows: "ignores_the_order_of_rows",
    NearerThanMost: "selects_for_each_anchor_by_itself",
    NearOfRoundedLabels: "takes_any_labels",
    TakesTheFirst: "bears_few_rows",
    NeedsANegative: "bears_any_classes",
    ShufflesPython: "leaves_its_inputs_alone",
    Contains: "relates_both_ways",
    EqualHalves: "is_equality_where_it_says",
    SharesMore: "is_equal_in_tiles",
    SharesAndKeeps: "is_pure",
    SharesInOnePiece: "ignores_the_layout",
}
