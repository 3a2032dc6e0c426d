"""Loss: what the unreduced values are, for some anchors against all references."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypedDict, cast

import torch
from pydantic import Field
from torch import Tensor

from metricreg.batch import Batch
from metricreg.batch.inputs import check_call
from metricreg.batch.terms import Scalar, Term
from metricreg.components import nothing_to_learn
from metricreg.components.check_promises import check_statistics, check_terms
from metricreg.components.component import Component, create
from metricreg.components.distance import Distance
from metricreg.components.marks import has_mark, symmetric
from metricreg.components.match import Match
from metricreg.components.reducer import Reducer, buffer_versions
from metricreg.components.regularizer import Regularizer, penalty
from metricreg.components.signature import parameters_model
from metricreg.components.type_hints import mentions
from metricreg.distributed.ranks import is_decided, is_shared, shared_by, warn_per_rank
from metricreg.engine.evaluate import (
    StepContext,
    TermValues,
    bind_terms,
    evaluate_terms,
    reduce_terms,
    type_and_shape,
)
from metricreg.engine.evaluate import Terms as Terms
from metricreg.engine.execution import Execution
from metricreg.engine.module_state import clone_buffers
from metricreg.errors import InputError, MetricregError, RecomputedError, RegistrationError
from metricreg.functional.precision import full_precision
from metricreg.functional.torch_internals import is_recomputing
from metricreg.registry import default_registry


class UnreducedLossSlots(TypedDict, total=False):
    """What a loss takes besides its own parameters that has no use for a match, nor for a reducer: its terms are all
    `Scalar`.
    """

    distance: Distance | None
    embedding_regularizer: Regularizer | None
    embedding_reg_weight: Annotated[float, Field(default=1.0)]


class UnmatchedLossSlots(TypedDict, total=False):
    """What a loss takes besides its own parameters that has no use for a match, such as one with class vectors."""

    distance: Distance | None
    reducer: Reducer | None
    embedding_regularizer: Regularizer | None
    embedding_reg_weight: Annotated[float, Field(default=1.0)]


class LossSlots(UnmatchedLossSlots, total=False):
    """What a loss takes besides its own parameters."""

    match: Match | None


class Loss(Component):
    """A training objective on embeddings.

    A subclass implements `terms`; memory tiling, gradients, reducers and regularizers come from the engine. It may
    implement `prepare`, `batch_terms` and `update_buffers` too.

    Args:
        distance: how embeddings are compared; if None, what the loss names as its default.
        reducer: how each term becomes a scalar; if None, what the loss names as its default.
        embedding_regularizer: a penalty on the embeddings, added to the loss.
        embedding_reg_weight: the factor of that penalty.
        match: which samples belong together, by their labels; those with the same label if None.
    """

    kind: ClassVar[str] = "loss"

    distances: ClassVar[tuple[type[Distance], ...]] = ()
    """The distances this loss is defined for; any if empty."""

    compared_with: ClassVar[Literal["references", "paired references", "own rows", "own labels"]] = "references"
    """What a batch is compared with: any references; those of the same row number; rows that the loss holds, such as
    class vectors; or references by labels that the loss makes. A loss around it, such as a memory, goes by that."""
    needs_positives: ClassVar[bool] = True
    """Whether it learns little from a batch in which no two samples belong together, of which a pipeline then warns."""
    default_distance: ClassVar[Callable[[], Distance]] = partial(create, "distance", "lp")
    """What makes the distance where none is given: the registered `lp`."""
    default_reducer: ClassVar[Callable[[], Reducer]] = partial(create, "reducer", "mean")
    """What makes the reducer where none is given: the registered `mean`."""

    def __init__(
        self,
        distance: Distance | None = None,
        reducer: Reducer | None = None,
        embedding_regularizer: Regularizer | None = None,
        embedding_reg_weight: float = 1.0,
        match: Match | None = None,
    ) -> None:
        super().__init__()
        self.distance = type(self).default_distance() if distance is None else distance
        self.reducer = type(self).default_reducer() if reducer is None else reducer
        self.embedding_regularizer = embedding_regularizer
        self.embedding_reg_weight = embedding_reg_weight
        self.match = match
        if self.distances and not isinstance(self.distance, self.distances):
            allowed = " or ".join(d.__name__ for d in self.distances)
            raise ValueError(f"{type(self).__name__} works with {allowed}, not with {type(self.distance).__name__}")

    # -- what a loss says ---------------------------------------------------------------------------------------------

    @abstractmethod
    def terms(self, batch: Batch) -> Terms:
        """The unreduced values of some anchors.

        Pure: no state written, nothing random, nothing changed in place; it may see any anchors, any number of times.
        Where each value is of a pair, and the same with its samples exchanged if the distance is, mark it
        `@metricreg.symmetric`: half of the pairs of a batch are then enough.
        """

    def prepare(self, batch: Batch) -> Batch:
        """Once a step, in ordinary autograd: other rows (proxies, a memory), sampling, statistics of other rows."""
        return batch

    def batch_terms(self, batch: Batch) -> Terms:
        """Once a step, in ordinary autograd: terms that are no sum over anchors."""
        return {}

    def update_buffers(self, statistics: dict[str, tuple[Tensor, ...]]) -> None:
        """Once a step, after everything: update running state from the total statistics of each Scalar, detached.

        Those of a Term are not among them: they are what the reducer that a user chose makes of it.
        """

    def width(self, batch: Batch) -> int:
        """How many values an anchor needs at a time; what tiles are sized by."""
        return len(batch.references)

    # -- what the engine makes of it ----------------------------------------------------------------------------------

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """As `forward`, for which see."""
        check_call(args, keywords)
        return super().__call__(*args, **keywords)

    def forward(
        self,
        embeddings: Tensor | Batch,
        labels: Any = None,
        *,
        tuples: Any = None,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
        execution: Execution | None = None,
    ) -> Tensor:
        """The loss of a batch: a scalar, or with the reducer `do_nothing` the terms themselves.

        Args:
            embeddings: `[N, D]`; or a `Batch`, which has the next four.
            labels: `[N]` integers, or what the match compares, such as label sets `[N, L]`.
            tuples: the pairs or triplets that are meant; all if None.
            ref_embeddings: `[M, D]`, a separate set to compare with; the batch itself if None.
            ref_labels: `[M]` like `labels`.
            execution: dense or tiled; by size if None.

        Raises:
            InputError: arguments that do not fit together.
            RecomputedError: its state changed in training, and a checkpoint computes it again.
        """
        batch = embeddings
        if not isinstance(batch, Batch):
            batch = Batch.of(batch, labels, tuples=tuples, ref_embeddings=ref_embeddings, ref_labels=ref_labels)
        if self.training and not torch.compiler.is_compiling() and not is_decided() and is_shared():
            warn_per_rank(self, f"{type(self).__name__} is called outside of a pipeline, and so computes")
        if not torch.compiler.is_compiling():
            self._look_for_pairs(batch)
        changes_state = self.__dict__.get("_changes_state", False)
        if changes_state and self.training and is_recomputing():
            raise RecomputedError(
                f"{type(self).__name__} has a state that changes in training, and is computed again in the backward "
                "pass, as torch.utils.checkpoint does, when that has changed. Checkpoint the encoder alone: the tiled "
                "plan needs little memory by itself"
            )
        watched = not changes_state and self.training and not torch.compiler.is_compiling()
        before = buffer_versions(self) if watched else None
        value = self.evaluate(batch, Execution() if execution is None else execution)
        if watched and before != buffer_versions(self):
            self.__dict__["_changes_state"] = True
        if not isinstance(value, (Tensor, dict)):  # torch 2.4 compiles no union of types
            raise MetricregError(f"{type(self).__name__}.evaluate returned {type_and_shape(value)}; expected a tensor")
        return value

    def _look_for_pairs(self, batch: Batch) -> None:
        """Have the pipeline look whether there is anything to learn from."""
        nothing_to_learn.look(self, batch)

    def evaluate(self, batch: Batch, execution: Execution) -> Tensor:
        """The loss of a batch that is already made. Losses made of losses override this."""
        with full_precision(batch.anchors.device.type):
            of_pairs = self.distance.is_symmetric
            tile = self._tile(batch, execution, lambda batch: len(batch.references))
            prepared = self._prepared(batch, StepContext(tile, self, of_pairs, execution.plan == "dense"))
            tile = self._tile(prepared, execution, self.width)
            halves = of_pairs and has_mark(self.terms, symmetric) and self.reducer.is_by_value
            if tile is not None:
                with shared_by(None):  # ranks may have looked at it before or not
                    check_terms(self, prepared, tile)
                    if halves and prepared.is_symmetric_comparison:
                        check_statistics(self, prepared)
            before = buffer_versions(self.reducer)
            found = evaluate_terms(self.terms, self.reducer, prepared, tile=tile, module=self, symmetric=halves)
            once = reduce_terms(self._batch_terms(prepared, batch, found), self.reducer)
            values = {**found.values, **once.values}
            self.reducer.check_terms(values)
            self.reducer.check_unchanged(before)
            if type(self).update_buffers is not Loss.update_buffers:
                clone_buffers(self)  # which the backward pass looks at
                statistics = {**found.statistics, **once.statistics}  # torch 2.4 compiles plain ones only
                self.update_buffers(statistics if torch.compiler.is_compiling() else _OfScalars(statistics))
            self._check_reducer(values, found, once)
            if any(not isinstance(value, Tensor) for value in values.values()):
                return cast(Tensor, values)
            # NaN is in no triplet that a miner finds hard, nor in a pair of a batch without pairs; yet in the gradient
            return _total(list(values.values()), batch) + batch.nan_if_not_finite()

    def _check_reducer(self, values: dict[str, Any], *found: TermValues) -> None:
        """Refuse a reducer that was given, where every term makes its value itself."""
        given = vars(self).get("_construction", (None, {}, {}))[1].get("reducer")
        if given is not None and values and all(any(name in each.statistics for each in found) for name in values):
            raise MetricregError(
                f"{type(self).__name__} makes the value of each of its terms itself (Scalar), and no reducer changes "
                "it; leave 'reducer' out. A loss whose terms are all so takes Unpack[metricreg.UnreducedLossSlots]"
            )

    def _tile(self, batch: Batch, execution: Execution, width: Callable[[Batch], int]) -> int | None:
        if not self.reducer.additive or execution.plan == "dense" or torch.compiler.is_compiling():
            return None
        return execution.tile_for(batch, width(batch), self.distance.values_per_pair(batch.anchors))

    def _prepared(self, batch: Batch, context: StepContext) -> Batch:
        prepared = self.prepare(self.with_match(batch).with_context(context))
        if not isinstance(prepared, Batch):
            raise MetricregError(f"{type(self).__name__}.prepare returned {type_and_shape(prepared)}; expected a Batch")
        return prepared if prepared.has_context else prepared.with_context(context)

    def with_match(self, batch: Batch) -> Batch:
        """The batch in which this loss's match says what belongs together, if it has one."""
        return batch if self.match is None else batch.with_match(self.match)

    def _batch_terms(self, prepared: Batch, batch: Batch, found: TermValues) -> Terms:
        terms = {**bind_terms(self.batch_terms(prepared), prepared, self.batch_terms), **self.penalties(batch)}
        twice = terms.keys() & found.values.keys()
        if twice:
            raise MetricregError(f"{type(self).__name__} gives the term '{min(twice)}' in both terms and batch_terms")
        return terms

    def penalties(self, batch: Batch) -> dict[str, Scalar]:
        """The weighted penalty on the embeddings, if there is a regularizer."""
        if self.embedding_regularizer is None:
            return {}
        return {"embedding_reg_loss": penalty(self.embedding_regularizer, batch.anchors, self.embedding_reg_weight)}

    def logits(self, embeddings: Tensor, *, part: str | int | None = None) -> Tensor:
        """Of a loss with class vectors, what it puts into its softmax, without margin: `[N, C]`.

        Args:
            embeddings: `[N, D]`.
            part: of a loss that is made of several, the name or position of the one that is asked.

        Raises:
            InputError: a loss without class vectors, or another part.
        """
        name = type(self).__name__
        if part is not None:
            raise InputError(f"{name} has no part '{part}'; only `multiple` is asked by the name of a part")
        registry = default_registry()
        having = [
            known
            for known in registry.names("loss")
            if "/" not in known and getattr(registry.get("loss", known), "logits", None) is not Loss.logits
        ]
        raise InputError(f"{name} has no class vectors, and so no logits; those that have: {', '.join(having)}")

    def predict(self, embeddings: Tensor, *, part: str | int | None = None) -> Tensor:
        """The class of the largest logit, `[N]`; the arguments are those of `logits`."""
        return self.logits(embeddings, part=part).argmax(1)

    def refusal_of_a_miner(self) -> str | None:
        """Why no miner may choose its tuples; None if one may."""
        if self.compared_with not in ("own labels", "paired references"):
            return None
        name = type(self).__name__
        return (
            f"{name} compares two views, and takes no miner; leave it out, or give it to a loss inside, by `multiple`"
        )

    def all_terms(self, batch: Batch) -> dict[str, Term | Scalar]:
        """Every term of a batch, unreduced, dense; penalties included."""
        with full_precision(batch.anchors.device.type):
            prepared = self._prepared(batch, StepContext(None, self, self.distance.is_symmetric, dense=True))
            found = dict(bind_terms(self.terms(prepared), prepared, self.terms))
            found |= dict(bind_terms(self.batch_terms(prepared), prepared, self.batch_terms)) | self.penalties(batch)
            return {name: term for name, term in found.items() if isinstance(term, Term) or term.finalize is not None}

    def effective_arguments(self) -> dict[str, Any]:
        """The slots in use."""
        return {slot: getattr(self, slot) for slot in ("distance", "reducer", "embedding_regularizer", "match")}

    @classmethod
    def check_declaration(cls, kind: str) -> None:
        """Refuse a loss made of losses that leaves their prepare, reducers and penalties out."""
        super().check_declaration(kind)
        held = [name for name, f in parameters_model(cls).model_fields.items() if mentions(f.annotation, Loss)]
        if held and cls.evaluate is Loss.evaluate:
            raise RegistrationError(
                f"{cls.__module__}.{cls.__qualname__} is made of losses ('{held[0]}') and does not implement evaluate, "
                "which is where each of them is evaluated, with its own prepare, reducer and penalties"
            )
        slots = [name for name in LossSlots.__annotations__ if name in parameters_model(cls).model_fields]
        if held and slots:
            raise RegistrationError(
                f"{cls.__module__}.{cls.__qualname__} is made of losses ('{held[0]}'), which have a '{slots[0]}' each; "
                f"leave '{slots[0]}' out of its own parameters, and derive it from metricreg.WrapperLoss"
            )


class _OfScalars(dict[str, tuple[Tensor, ...]]):
    """The statistics that `update_buffers` gets."""

    def __missing__(self, name: str) -> tuple[Tensor, ...]:
        raise MetricregError(
            f"update_buffers gets the statistics of Scalars, here {list(self)}, and '{name}' is none; those of a Term "
            "depend on the reducer in use, so give what it needs as a Scalar"
        )


def _total(values: list[Tensor], batch: Batch) -> Tensor:
    scalars = [value.reshape(()) if value.ndim else value for value in values]
    total = sum(scalars[1:], scalars[0]) if scalars else batch.anchors.new_zeros(())
    if torch.is_grad_enabled() and batch.anchors.requires_grad and not total.requires_grad:
        total = total + batch.anchors[:0].sum()  # a graph, with gradient 0, where no value depended on the batch
    return total
