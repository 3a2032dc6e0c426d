"""How metricreg is used, for mypy: right uses have the stated types, and wrong ones are errors (else unused ignores)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from typing_extensions import Unpack, assert_type

import metricreg
from metricreg import Batch, Difference, Pipeline, Problem, Registry, Scalar, Term
from metricreg.distances import CosineSimilarity, LpDistance
from metricreg.losses import ArcFaceLoss, ContrastiveLoss, MultipleLosses
from metricreg.reducers import MeanReducer, MultipleReducers
from metricreg.spec.spec import Report

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

    def statistics(self, term: Term) -> tuple[torch.Tensor, ...]:
        return term.sum(term.values.clamp(max=self.cap)), term.count()

    def finalize(self, *statistics: torch.Tensor) -> torch.Tensor:
        total, count = statistics
        return total / count.clamp(min=1)


assert_type(ClippedMean(cap=2), ClippedMean)
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


@metricreg.hookimpl
def metricreg_losses() -> dict[str, type[metricreg.Loss] | str]:
    return {"linear": Linear, "other": "acme.other:OtherLoss"}
