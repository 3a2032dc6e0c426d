"""Losses, each broken in one way, by the check that is there to find it."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from typing_extensions import Unpack

import metricreg
from metricreg import Batch, LossSlots, Scalar, Term, UnmatchedLossSlots, WrapperLoss
from metricreg.reducers import SumReducer

Terms = Mapping[str, Term | Scalar]


class Sound(metricreg.Loss):
    """Softplus of distances: `pos_loss` and `neg_loss`, `[A, M]`.

    Args:
        scale: of the distances, greater than 0.
    """

    def __init__(self, scale: Annotated[float, Field(gt=0)] = 1.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.scale = scale

    def values(self, batch: Batch) -> Tensor:
        return self.distance.between(batch) * self.scale

    def terms(self, batch: Batch) -> Terms:
        d = self.values(batch)
        soft = torch.nn.functional.softplus
        return {
            "pos_loss": Term(soft(d), batch.positives, kind="pos_pair"),
            "neg_loss": Term(soft(-d), batch.negatives, kind="neg_pair"),
        }


class Stateful(Sound):
    """Softplus of distances over their running mean, `[A, M]`."""

    def __init__(self, scale: Annotated[float, Field(gt=0)] = 1.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(scale, **slots)
        self.register_buffer("level", torch.ones(()))

    def values(self, batch: Batch) -> Tensor:
        return super().values(batch) * self.level

    def terms(self, batch: Batch) -> Terms:
        d = self.distance.between(batch).detach()
        count = torch.full((), d.numel(), dtype=torch.int64)
        return {**super().terms(batch), "level": Scalar((d.sum(), count), None)}

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        if self.training:
            total, count = statistics["level"]
            self.level.lerp_(1.0 + total / count.clamp(min=1), 0.5)


class Classes(metricreg.Loss):
    """Cross entropy of the similarities to one vector a class, `[A, C]`.

    Args:
        num_classes: C, at least 1.
        embedding_size: D, at least 1.
    """

    compared_with = "own rows"

    def __init__(
        self,
        num_classes: Annotated[int, Field(gt=0)],
        embedding_size: Annotated[int, Field(gt=0)],
        **slots: Unpack[UnmatchedLossSlots],
    ) -> None:
        super().__init__(**slots)
        self.vectors = torch.nn.Parameter(torch.randn(num_classes, embedding_size))

    def prepare(self, batch: Batch) -> Batch:
        if batch.anchor_labels is None or not batch.anchor_labels.lt(len(self.vectors)).all():
            raise metricreg.InputError("labels are the classes")
        if batch.anchor_labels.lt(0).any():
            raise metricreg.InputError("labels are the classes")
        return batch.against(self.vectors.to(batch.anchors.dtype), torch.arange(len(self.vectors)))

    def terms(self, batch: Batch) -> Terms:
        logits = self.distance.closeness(self.distance.between(batch))
        losses = torch.nn.functional.cross_entropy(logits, batch.anchor_labels, reduction="none")
        return {"loss": Term(losses if batch.weights is None else losses * batch.weights)}


class Views(metricreg.Loss):
    """Squared difference of two views, row by row, `[A]`."""

    compared_with = "paired references"

    def __init__(self, **slots: Unpack[UnmatchedLossSlots]) -> None:
        super().__init__(**slots)

    def prepare(self, batch: Batch) -> Batch:
        if batch.is_self_comparison or len(batch) != len(batch.references) or batch.selection is not None:
            raise metricreg.InputError("give two views of as many rows")
        return batch.replace(per_anchor={"view": batch.references})

    def terms(self, batch: Batch) -> Terms:
        return {"loss": Term((batch.anchors - batch.per_anchor["view"]).square().sum(1))}


class Doubled(WrapperLoss):
    """Twice a loss.

    Args:
        loss: which.
    """

    def __init__(self, loss: metricreg.Loss) -> None:
        super().__init__()
        self.loss = loss

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        found: Tensor = 2 * self.loss(batch, execution=execution)
        return found

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        return self.loss.all_terms(batch)


# -- what it says of itself ---------------------------------------------------------------------------------------------


class Unhinted(Sound):
    """Takes something, `[A, M]`.

    Args:
        options: of any sort.
    """

    def __init__(self, options: Any = None, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)


class Particular(Sound):
    """Needs three levels, `[A, M]`.

    Args:
        levels: three numbers.
    """

    def __init__(self, levels: list[float], **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        if len(levels) != 3:
            raise ValueError(f"give three levels; got {len(levels)}")


class LooksAtData(Sound):
    """Keeps a number of a tensor, `[A, M]`."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.one = float(torch.ones(()))


class Undescribed(Sound):
    """Has a margin, `[A, M]`."""

    def __init__(self, margin: float = 0.5, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)


class DescribesAnother(Sound):
    """Has a scale, `[A, M]`.

    Args:
        scale: of the distances.
        sacle: of the distances.
    """


class Shapeless(metricreg.Loss):
    """A distance."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)

    def terms(self, batch: Batch) -> Terms:
        """Distances of positive pairs."""
        return {"loss": Term(self.distance.between(batch), batch.positives)}


class Unranged(Sound):
    """Divides, `[A, M]`.

    Args:
        temperature: what is divided by.
    """

    def __init__(self, temperature: float = 0.5, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.temperature = temperature

    def values(self, batch: Batch) -> Tensor:
        return self.distance.between(batch) / self.temperature


class SaysAnotherReducer(Sound):
    """Says that it has another reducer than it has, `[A, M]`."""

    def effective_arguments(self) -> dict[str, Any]:
        return super().effective_arguments() | {"reducer": SumReducer()}


class WrongExample(Sound):
    """Has an example that is no number, `[A, M]`.

    Args:
        level: a number.
    """

    def __init__(self, level: Annotated[float, Field(examples=["high"])] = 1.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)


# -- what a call gives --------------------------------------------------------------------------------------------------


class Raises(Sound):
    """Takes nothing, `[A, M]`."""

    def values(self, batch: Batch) -> Tensor:
        raise KeyError("no such column")


class Exits(Sound):
    """Ends the process, `[A, M]`."""

    def values(self, batch: Batch) -> Tensor:
        raise SystemExit(3)


class AValueARow(Sound):
    """Gives more than one value, `[A, M]`."""

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        return super().evaluate(batch, execution)[None]


class SaysNoTerms(Doubled):
    """Says no terms.

    Args:
        loss: which.
    """

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        return WrapperLoss.all_terms(self, batch)


class WeighsByPlace(Sound):
    """Counts later rows more, `[A, M]`."""

    def prepare(self, batch: Batch) -> Batch:
        return batch.replace(per_anchor={"place": torch.arange(len(batch)).to(batch.anchors)})

    def values(self, batch: Batch) -> Tensor:
        return super().values(batch) * batch.per_anchor["place"][:, None]


class Views1D(Sound):
    """Wants its rows in one piece, `[A, M]`."""

    def prepare(self, batch: Batch) -> Batch:
        batch.anchors.view(-1)
        return batch


class HidesNaN(Sound):
    """Replaces NaN, `[A, M]`."""

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        return super().evaluate(batch, execution).nan_to_num()


class RoundsLabels(Sound):
    """Compares labels as float32, `[A, M]`."""

    def terms(self, batch: Batch) -> Terms:
        labels, others = batch.anchor_labels, batch.reference_labels
        if labels is None or others is None or labels.ndim != 1 or batch.selection is not None:
            raise metricreg.InputError("labels are needed")
        equal = labels.float()[:, None] == others.float()[None]
        return {"loss": Term(self.values(batch), equal)}


# -- batches ------------------------------------------------------------------------------------------------------------


class Spread(Sound):
    """Adds the deviation of each feature, `[D]`."""

    def batch_terms(self, batch: Batch) -> Terms:
        return {"spread": Scalar((batch.anchors.var(0).sum(),), lambda value: value)}


class CountsClasses(Sound):
    """Divides by the number of other classes, `[A, M]`."""

    def batch_terms(self, batch: Batch) -> Terms:
        if len(batch) < 3 or batch.anchor_labels is None:
            return {}
        others = len(batch.anchor_labels.unique()) - 1
        return {"classes": Scalar((batch.anchors.square().mean() / torch.tensor(others),), lambda value: value)}


class Lengths(Sound):
    """Adds the inverse of the lengths, `[A]`."""

    def terms(self, batch: Batch) -> Terms:
        return {**super().terms(batch), "length": Term(1e-3 / batch.anchors.norm(dim=1))}


class Exponentials(Sound):
    """Adds the exponential of the squares, `[A]`."""

    def terms(self, batch: Batch) -> Terms:
        return {**super().terms(batch), "length": Term(batch.anchors.square().mean(1).exp())}


# -- gradients and plans ------------------------------------------------------------------------------------------------


class HalfDetached(Sound):
    """Has half of its gradient, `[A, M]`."""

    def values(self, batch: Batch) -> Tensor:
        d = super().values(batch)
        return (d + d.detach()) / 2


class CountsBehindTheBack(Doubled):
    """Changes its state where no one sees it.

    Args:
        loss: which.
    """

    def __init__(self, loss: metricreg.Loss) -> None:
        super().__init__(loss)
        self.register_buffer("steps", torch.zeros(()))

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        found = super().evaluate(batch, execution) * (1.0 + self.steps.clone())
        if self.training:
            self.steps.data.add_(1.0)
        return found


class LooksAtTheTile(Sound):
    """Is another in tiles, `[A, M]`."""

    def prepare(self, batch: Batch) -> Batch:
        factor = 1.0 if batch.tile is None else 2.0
        return batch.replace(shared={"factor": torch.tensor(factor).to(batch.anchors)})

    def values(self, batch: Batch) -> Tensor:
        return super().values(batch) * batch.shared["factor"]


class UpdatesByTheTile(Stateful):
    """Has another state in tiles, `[A, M]`."""

    def prepare(self, batch: Batch) -> Batch:
        return batch.replace(shared={"tile": torch.tensor(batch.tile or 0)})

    def terms(self, batch: Batch) -> Terms:
        tile = batch.shared["tile"].to(batch.anchors.dtype)[None].expand(len(batch)).sum()
        count = torch.full((), len(batch), dtype=torch.int64)
        return {**super().terms(batch), "level": Scalar((tile, count), None)}


class MeansOfTiles(Sound):
    """Has a mean for a statistic, `[A, M]`."""

    def terms(self, batch: Batch) -> Terms:
        return {**super().terms(batch), "mean": Scalar((self.values(batch).mean(1).sum() / max(len(batch), 1),), _same)}


def _same(value: Tensor) -> Tensor:
    return value


# -- purity -------------------------------------------------------------------------------------------------------------


class ChangesLabels(Sound):
    """Sorts out labels in place, `[A, M]`."""

    def prepare(self, batch: Batch) -> Batch:
        if batch.anchor_labels is not None:
            batch.anchor_labels.add_(0)
        return batch


class Draws(Sound):
    """Drops some, `[A, M]`."""

    def values(self, batch: Batch) -> Tensor:
        return torch.nn.functional.dropout(super().values(batch))


class DrawsFromPython(Sound):
    """Draws what it does not need, `[A, M]`."""

    def values(self, batch: Batch) -> Tensor:
        random.random()
        return super().values(batch)


class Keeps(Sound):
    """Keeps what it saw, `[A, M]`."""

    def values(self, batch: Batch) -> Tensor:
        self.seen = super().values(batch)
        return self.seen


# -- promises -----------------------------------------------------------------------------------------------------------


class NotSymmetric(Sound):
    """Weighs by the anchor, `[A, M]`."""

    @metricreg.symmetric
    def terms(self, batch: Batch) -> Terms:
        return {"loss": Term(self.values(batch) * batch.anchors.square().sum(1)[:, None], batch.negatives)}


class OverlooksReferences(Classes):
    """Takes references, and does not look at them, `[A, C]`.

    Args:
        num_classes: C, at least 1.
        embedding_size: D, at least 1.
    """

    def prepare(self, batch: Batch) -> Batch:
        return super().prepare(Batch.of(batch.anchors, batch.anchor_labels, tuples=batch.selection))


class RefusesReferences(Sound):
    """Says that it takes references, and does not, `[A, M]`."""

    def prepare(self, batch: Batch) -> Batch:
        if not batch.is_self_comparison:
            raise metricreg.InputError("leave ref_embeddings out")
        return batch


class SaysViews(Sound):
    """Says that it compares views, and takes anything, `[A, M]`."""

    compared_with = "paired references"


# -- types --------------------------------------------------------------------------------------------------------------


class HalfAgain(Sound):
    """Makes half precision of half precision, `[A, M]`."""

    def forward(self, embeddings: Any, *args: Any, **given: Any) -> Any:
        dtype = embeddings.anchors.dtype if isinstance(embeddings, Batch) else embeddings.dtype
        return super().forward(embeddings, *args, **given).to(dtype)


class Widens(Sound):
    """Makes float64 of everything, `[A, M]`."""

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        return super().evaluate(batch, execution).double()


class ProjectsFirst(Sound):
    """Multiplies by a matrix where autocast is on, `[A, M]`."""

    def forward(self, embeddings: Any, *args: Any, **given: Any) -> Any:
        if isinstance(embeddings, Tensor) and embeddings.dtype is torch.float32:
            turn = torch.eye(embeddings.shape[1]) + 0.1
            embeddings = embeddings @ turn @ turn.inverse()
        return super().forward(embeddings, *args, **given)


# -- state --------------------------------------------------------------------------------------------------------------


class NoCopies(Sound):
    """Cannot be copied, `[A, M]`."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("there is only one")


class Lambda(Sound):
    """Holds a lambda, `[A, M]`."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.turned = lambda x: -x


class Forgets(Stateful):
    """Does not save its state, `[A, M]`."""

    def __init__(self, scale: Annotated[float, Field(gt=0)] = 1.0, **slots: Unpack[LossSlots]) -> None:
        super().__init__(scale, **slots)
        self.register_buffer("level", torch.ones(()), persistent=False)


class DrawsItsOwn(Sound):
    """Draws a parameter from Python's random numbers, `[A, M]`."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.factor = torch.nn.Parameter(torch.tensor(1.0 + random.random()))

    def values(self, batch: Batch) -> Tensor:
        return super().values(batch) * self.factor.to(batch.anchors.dtype)


class AlwaysTrains(Stateful):
    """Changes in evaluation mode, `[A, M]`."""

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        self.level.add_(1.0)


# -- what only informs, or needs a GPU ----------------------------------------------------------------------------------


class Branches(Sound):
    """Looks at a number, `[A, M]`."""

    def evaluate(self, batch: Batch, execution: metricreg.Execution) -> Tensor:
        found = super().evaluate(batch, execution)
        return found if found.item() > 0 else -found


class StaysBehind(Sound):
    """Keeps a tensor that does not move to a GPU, `[A, M]`."""

    def __init__(self, **slots: Unpack[LossSlots]) -> None:
        super().__init__(**slots)
        self.factor = torch.ones(3)

    def values(self, batch: Batch) -> Tensor:
        return super().values(batch) * self.factor[:1]


class OfItsProcess(Sound):
    """Distances scaled by the number of the process that looks at them."""

    def values(self, batch: Batch) -> Tensor:
        return super().values(batch) * (1.0 + 1.0 / os.getpid())


class WantsBool(Sound):
    """Softplus of distances: `pos_loss` and `neg_loss`, `[A, M]`; those that do not count are set to 0."""

    def terms(self, batch: Batch) -> Terms:
        d = self.distance.between(batch)
        soft = torch.nn.functional.softplus(d)
        return {"pos_loss": Term(torch.where(batch.positives, soft, 0.0), batch.positives, kind="pos_pair")}


SOUND = (Sound, Stateful, Classes, Views, Doubled)
BROKEN: dict[type[metricreg.Loss], str] = {
    OfItsProcess: "two_processes_agree_with_one",
    Unhinted: "can_be_registered",
    Particular: "can_be_registered",
    LooksAtData: "runs_on_the_meta_device",
    Undescribed: "describes_its_parameters",
    DescribesAnother: "describes_its_parameters",
    Shapeless: "states_shapes",
    Unranged: "declares_its_ranges",
    SaysAnotherReducer: "survives_the_round_trip",
    WrongExample: "fits_its_schema",
    Raises: "takes_a_batch",
    Exits: "takes_a_batch",
    AValueARow: "takes_a_batch",
    SaysNoTerms: "says_its_terms",
    WeighsByPlace: "ignores_the_order_of_rows",
    Views1D: "ignores_the_layout",
    WantsBool: "takes_listed_pairs_and_triplets",
    HidesNaN: "shows_nan",
    RoundsLabels: "takes_any_labels",
    Spread: "bears_few_rows",
    CountsClasses: "bears_any_classes",
    Lengths: "bears_zero_and_equal_rows",
    Exponentials: "bears_long_and_short_rows",
    HalfDetached: "has_the_right_gradient",
    CountsBehindTheBack: "can_be_checkpointed",
    LooksAtTheTile: "is_equal_in_tiles",
    UpdatesByTheTile: "is_equal_in_tiles",
    MeansOfTiles: "adds_up",
    ChangesLabels: "leaves_its_inputs_alone",
    Draws: "is_pure",
    DrawsFromPython: "is_pure",
    Keeps: "is_pure",
    NotSymmetric: "is_symmetric_where_marked",
    OverlooksReferences: "compares_with_what_it_says",
    RefusesReferences: "compares_with_what_it_says",
    SaysViews: "compares_with_what_it_says",
    HalfAgain: "computes_half_in_float32",
    Widens: "keeps_the_type",
    ProjectsFirst: "ignores_autocast",
    NoCopies: "can_be_copied",
    Lambda: "can_be_pickled",
    Forgets: "is_restored_by_its_state",
    DrawsItsOwn: "draws_by_the_seed",
    AlwaysTrains: "keeps_its_state_in_evaluation",
}
