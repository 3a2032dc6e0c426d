"""How metricreg is used, for mypy: right uses have the stated types, and wrong ones are errors (else unused ignores)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from typing_extensions import Unpack, assert_type

import metricreg
from metricreg import Batch, Difference, Pairs, Pipeline, Problem, Registry, Scalar, Term
from metricreg.distances import CosineSimilarity, LpDistance
from metricreg.losses import ArcFaceLoss, ContrastiveLoss, MultipleLosses
from metricreg.reducers import MeanReducer, MultipleReducers
from metricreg.spec.spec import Report
from metricreg.testing import Check, Example, Outcome, check_component, parametrize_with_checks

# -- construction -----------------------------------------------------------------------------------------------------

distance = LpDistance(p=1, normalize=False)
assert_type(distance, LpDistance)
loss = ContrastiveLoss(0.0, neg_margin=1, distance=distance, reducer=MultipleReducers({"pos_loss": MeanReducer()}))
assert_type(loss, ContrastiveLoss)
assert_type(ArcFaceLoss(10, 4, distance=CosineSimilarity(), weight_init="normal"), ArcFaceLoss)
assert_type(MultipleLosses([loss, ArcFaceLoss(num_classes=10, embedding_size=4)]), MultipleLosses)

LpDistance(p="2")  # type: ignore[arg-type]
LpDistance(q=2)  # type: ignore[call-arg]
ArcFaceLoss(10)  # type: ignore[call-arg]
ContrastiveLoss(distance="lp")  # type: ignore[arg-type]
ContrastiveLoss(distance=MeanReducer())  # type: ignore[arg-type]
ContrastiveLoss(embedding_reg_wieght=1.0)  # type: ignore[call-arg]
ArcFaceLoss(10, 4, weight_init="zeros")  # type: ignore[arg-type]
MultipleReducers([MeanReducer()])  # type: ignore[arg-type]
metricreg.Distance()  # type: ignore[abstract]
metricreg.Loss()  # type: ignore[abstract]

# -- use --------------------------------------------------------------------------------------------------------------

x, labels = torch.randn(4, 3), torch.tensor([0, 0, 1, 1])
assert_type(loss(x, labels), Any)  # nn.Module's __call__
assert_type(loss.to_spec(), dict[str, Any])
pipeline = metricreg.build({"loss": "contrastive"})
assert_type(pipeline, Pipeline)
assert_type(pipeline.terms(x, labels), dict[str, Term | Scalar])
assert_type(pipeline.to_spec(defaults=True), dict[str, Any])
assert_type(metricreg.build(metricreg.load(Path("x.json")), strict=True), Pipeline)
assert_type(metricreg.validate({}), Report)
assert_type(metricreg.validate({})[0], Problem)
assert_type(metricreg.validate({})[:1], tuple[Problem, ...])
assert_type(metricreg.json_schema(), dict[str, Any])
assert_type(metricreg.lock({}, exact=True), dict[str, Any])
assert_type(metricreg.migrate({}), dict[str, Any])
assert_type(metricreg.diff({}, {})[0], Difference)
assert_type(pipeline.to_spec(requires=True), dict[str, Any])
assert_type(metricreg.default_registry().names("loss"), tuple[str, ...])
assert_type(metricreg.create("loss", "contrastive", neg_margin=1), Any)

metricreg.build({}, None)  # type: ignore[call-arg]
metricreg.load(3)  # type: ignore[arg-type]
Pipeline(MeanReducer())  # type: ignore[arg-type]

# -- components of one's own ------------------------------------------------------------------------------------------


@metricreg.register
class ClippedMean(metricreg.Reducer):
    """Mean of the values, each at most `cap`."""

    def __init__(self, cap: Annotated[float, Field(gt=0)] = 1.0) -> None:
        super().__init__()
        self.cap = cap

    @metricreg.by_value
    def statistics(self, term: Term) -> tuple[torch.Tensor, torch.Tensor]:
        return term.sum(term.values.clamp(max=self.cap)), term.count()

    def finalize(self, total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        return total / count.clamp(min=1)


assert_type(ClippedMean(cap=2), ClippedMean)
assert_type(ClippedMean().statistics(Term(x)), tuple[torch.Tensor, torch.Tensor])
assert_type(ClippedMean().finalize(x, x), torch.Tensor)
ClippedMean().finalize(x)  # type: ignore[call-arg]
ClippedMean(cap="2")  # type: ignore[arg-type]
assert_type(metricreg.register(ClippedMean, "other", registry=Registry()), type[ClippedMean])
metricreg.register(dict)  # type: ignore[type-var]


class Linear(metricreg.Loss):
    """Sum of the distances of positive pairs."""

    former_names = ("straight", ("line", "1.3"))
    former_parameters: ClassVar[Mapping[str, str]] = {"factor": "scale"}

    def __init__(self, scale: float = 1.0, **slots: Unpack[metricreg.LossSlots]) -> None:
        super().__init__(**slots)
        self.scale = scale

    def terms(self, batch: Batch) -> Mapping[str, Term | Scalar]:
        return {"loss": Term(self.scale * self.distance(batch.anchors, batch.references), batch.positives)}


assert_type(Linear(2, reducer=ClippedMean()), Linear)
Linear(2, ClippedMean())  # type: ignore[call-arg, arg-type]


class Wrong(Linear):
    """Says what it was called in a way that is not the way."""

    former_names = "straight"  # type: ignore[assignment]
    former_parameters = ("factor",)  # type: ignore[assignment]


class Right(ClippedMean):
    """Without a hint, and with versions."""

    former_parameters = {"limit": ("cap", "1.3"), "most": "cap"}  # noqa: RUF012


class Median(metricreg.Reducer):
    """The median."""

    def reduce(self, term: Term) -> torch.Tensor:
        return term.values.median()


class Total(metricreg.Reducer):
    """The sum, as something else than a tensor."""

    def statistics(self, term: Term) -> tuple[torch.Tensor]:
        return (term.sum(),)

    def finalize(self, total: torch.Tensor) -> float:  # type: ignore[override]
        return total.item()


class Scaled(metricreg.Distance):
    """Scaled differences, summed."""

    is_inverted = False

    def __init__(self, scale: float = 1.0, **slots: Unpack[metricreg.DistanceSlots]) -> None:
        super().__init__(**slots)
        self.scale = scale

    @metricreg.symmetric
    def matrix(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.scale * (x[..., :, None, :] - y[..., None, :, :]).abs().sum(-1)


assert_type(Scaled(2, power=2).matrix(x, x), torch.Tensor)
Scaled(pwoer=2)  # type: ignore[call-arg]


class Tracking(metricreg.Loss):
    """What all the hooks of a loss look like."""

    default_distance = CosineSimilarity
    compared_with = "own rows"
    level: torch.Tensor

    def prepare(self, batch: Batch) -> Batch:
        return batch.replace(shared={"mean": batch.anchors.mean(0)})

    @metricreg.symmetric
    def terms(self, batch: Batch) -> dict[str, Term]:
        assert_type(batch.anchor_labels, torch.Tensor | None)
        batch.anchor_labels.long()  # type: ignore[union-attr]
        return {"loss": Term(self.distance.between(batch) * self.level, batch.positives)}

    def batch_terms(self, batch: Batch) -> dict[str, Scalar]:
        return {"mean_loss": Scalar((batch.shared["mean"].sum(),), lambda total: total)}

    def update_buffers(self, statistics: Mapping[str, tuple[torch.Tensor, ...]]) -> None:
        (total,) = statistics["mean_loss"]
        self.level.copy_(total)


class Nearest(metricreg.Miner):
    """Pairs nearer than a distance."""

    def __init__(self, within: float = 0.5, **slots: Unpack[metricreg.MinerSlots]) -> None:
        super().__init__(**slots)
        self.within = within

    def select(self, batch: Batch) -> Pairs:
        near = self.distance.between(batch) < self.within
        positives, negatives = (batch.positives != 0) & near, (batch.negatives != 0) & near
        return Pairs(*positives.nonzero(as_tuple=True), *negatives.nonzero(as_tuple=True))


class Family(metricreg.Match):
    """Labels of one family."""

    def positives(self, labels: torch.Tensor, ref_labels: torch.Tensor) -> torch.Tensor:
        return labels[:, None] // 10 == ref_labels[None] // 10


class Variance(metricreg.Regularizer):
    """Variance of each row."""

    def __init__(self, factor: float = 1.0, **slots: Unpack[metricreg.RegularizerSlots]) -> None:
        super().__init__(**slots)
        self.factor = factor

    def terms(self, x: torch.Tensor) -> dict[str, Term]:
        return {"loss": Term(self.factor * x.var(1))}


assert_type(Tracking(match=Family(), distance=Scaled(), embedding_regularizer=Variance(reducer=Median())), Tracking)
Tracking(match=Nearest())  # type: ignore[arg-type]
Nearest(match=Family(), reducer=Median())  # type: ignore[call-arg]


@metricreg.hookimpl
def metricreg_losses() -> dict[str, type[metricreg.Loss] | str]:
    return {"linear": Linear, "other": "acme.other:OtherLoss"}


@parametrize_with_checks(
    [Linear, (ClippedMean, {"cap": 2}), ClippedMean(cap=3)], expected_failures={"shows_nan": "why"}
)
def test_component(component: Example, check: Check) -> None:
    assert_type(check(component), None)


assert_type(check_component(Linear, scale=2.0), tuple[Outcome, ...])
parametrize_with_checks(Linear)  # type: ignore[arg-type]


@metricreg.hookimpl
def metricreg_reducers() -> dict[str, str]:
    return {"total": "acme.total:Total"}


@metricreg.hookimpl
def metricreg_distances() -> Mapping[str, type[metricreg.Distance]]:
    return {"scaled": Scaled}
