"""Pipeline: a built spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
import torch.distributed as dist
from torch import Tensor, nn

from metricreg.batch import Batch
from metricreg.batch.inputs import answering, check_call
from metricreg.batch.terms import Scalar, Term
from metricreg.components import Loss, Miner
from metricreg.components.component import Component, specs_of
from metricreg.components.nothing_to_learn import Watch
from metricreg.components.renamed import warn_renamed
from metricreg.distributed.ranks import is_decided, is_shared, ranks_of, shared_by, warn_per_rank
from metricreg.distributed.step import gathered, one_step, outline, take_values_of_first
from metricreg.engine.execution import Execution
from metricreg.engine.module_state import held_by
from metricreg.errors import InputError, SpecError
from metricreg.registry import Registry, default_registry
from metricreg.registry.report import require_plugins
from metricreg.spec.lock import installed, requirements
from metricreg.spec.spec import parse
from metricreg.spec.versions import VERSION

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Pipeline(nn.Module):
    """A training objective: a loss, perhaps a miner, and how to evaluate them.

    Built by `metricreg.build`, or by hand from components. Its parameters, such as class proxies, are to be optimised
    along with the encoder's.

    Args:
        loss: what is minimised.
        miner: which pairs or triplets are used; all if None.
        execution: dense or tiled; by size if None.
        requires: distributions and versions that the spec states.
    """

    def __init__(
        self,
        loss: Loss,
        miner: Miner | None = None,
        execution: Execution | None = None,
        requires: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(loss, Loss):
            raise SpecError(f"a Pipeline needs a Loss instance; got {type(loss).__name__}; specs go to metricreg.build")
        if miner is not None and not isinstance(miner, Miner):
            raise SpecError(f"a Pipeline needs a Miner instance or None; got {type(miner).__name__}")
        if execution is not None and not isinstance(execution, Execution):
            raise SpecError(f"a Pipeline needs an Execution or None; got {type(execution).__name__}")
        self.loss = loss
        self.miner = miner
        self.execution = execution
        self.requires = dict(requires or {})
        self._watch = Watch()
        self._group = _Group()
        self.register_load_state_dict_post_hook(_forget_same_state)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """How it is evaluated, if that was said."""
        return "" if self.execution is None else f"execution={self.execution}"

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """As `forward`, for which see."""
        check_call(args, keywords)
        if "enqueue_mask" in keywords:
            raise TypeError("'enqueue_mask' is for a call of the loss `cross_batch_memory` itself: objective.loss(...)")
        return super().__call__(*args, **keywords)

    def forward(
        self,
        embeddings: Tensor,
        labels: Any = None,
        *,
        tuples: Any = None,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
    ) -> Tensor:
        """The objective of a batch; where torch.distributed has several ranks, of that of all of them.

        Args:
            embeddings: `[N, D]`, floating point; half precision is computed in float32.
            labels: `[N]` integers of any value, or what the match of the loss compares, such as label sets `[N, L]`.
                Not needed with tuples, or by a loss without labels.
            tuples: `metricreg.Pairs`, `metricreg.Triplets`, or index tuples: (anchors, positives, negatives) or
                (anchors, positives, anchors, negatives); for pipelines without a miner.
            ref_embeddings: `[M, D]`, a separate set to compare with; the batch itself if None.
            ref_labels: `[M]` like `labels`.

        Returns:
            A scalar; or the terms by name, where a reducer is `do_nothing`.

        Raises:
            InputError: arguments that do not fit together.
        """
        if not is_shared(self._group.group) or is_decided():
            return self._value(self._batch(embeddings, labels, tuples, ref_embeddings, ref_labels))
        read = partial(
            Batch.of, embeddings, labels, tuples=tuples, ref_embeddings=ref_embeddings, ref_labels=ref_labels
        )
        if self.execution is None or self.execution.distributed == "auto":
            shared: Tensor = self._value_over_ranks(read)
            return shared
        if self.training:
            warn_per_rank(self, "this pipeline, built with distributed 'off', computes")
        with shared_by(None):
            return self._value(self._mined(read()))

    def distributed(self, group: ProcessGroup | None = None) -> Pipeline:
        """Share each step with the ranks of a group of torch.distributed. Without this call, those are all processes.

        Args:
            group: in which this process is; all processes if None.

        Returns:
            This pipeline.
        """
        if group is not None and not (dist.is_available() and isinstance(group, dist.ProcessGroup)):
            raise InputError(
                f"distributed takes a group of torch.distributed that this process is in, as new_group gives it, or "
                f"None; got {type(group).__name__}. To leave other ranks out, build with "
                '"execution": {"distributed": "off"}'
            )
        self._group = _Group(group)
        return self

    def _value(self, batch: Batch) -> Tensor:
        if self._watch.done or not self.training or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            value: Tensor = self.loss(batch, execution=self.execution)
            return value
        with self._watch.watching():
            value = self.loss(batch, execution=self.execution)
        self._watch.warn()
        return value

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _value_over_ranks(self, read: Callable[[], Batch]) -> Tensor:
        """The value of the batch of all ranks, by what each of them reads of its own."""
        execution, ranks, held = self.execution or Execution(), ranks_of(self._group.group), held_by(self)
        facts = {
            "the digest of names, shapes and types of parameters and buffers, and of requires_grad": outline(held),
            "the components": [type(part).__name__ for part in self.modules()],
            "whether it is in training mode": self.training,
            "whether gradients are recorded": torch.is_grad_enabled(),
            "execution": asdict(execution),
        }
        factor = float(ranks.size) if execution.gradient == "ddp" else 1.0
        new = not self._group.has_same_state
        given, some_are_new = gathered(ranks, lambda: self._paired(read()), factor, facts, new)
        if some_are_new:
            take_values_of_first(ranks, held.values())
            self._group.has_same_state = True
        with one_step(ranks, given["embeddings"].device):
            return self._value(self._batch(**given))

    def _paired(self, batch: Batch) -> Batch:
        """A rank's batch; of two views it holds both of each row, or those of others would belong together."""
        for part in self.loss.modules():
            paired = isinstance(part, Loss) and part.compared_with in ("paired references", "own labels")
            if paired and len(batch) != len(batch.references):
                raise InputError(
                    f"{type(part).__name__} compares row i of embeddings with row i of ref_embeddings; there are "
                    f"{len(batch)} and {len(batch.references)}"
                )
        return batch

    @answering
    def terms(
        self,
        embeddings: Tensor,
        labels: Any = None,
        *,
        tuples: Any = None,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
    ) -> dict[str, Term | Scalar]:
        """The unreduced values by name, made dense, of this process's rows; the arguments are those of a call."""
        return self.loss.all_terms(self._batch(embeddings, labels, tuples, ref_embeddings, ref_labels))

    def logits(self, embeddings: Tensor, *, part: str | int | None = None) -> Tensor:
        """Of a loss with class vectors, what it puts into its softmax, without margin: `[N, C]`.

        Args:
            embeddings: `[N, D]`.
            part: of the loss `multiple`, the name or position of the one that is asked.

        Raises:
            InputError: a loss without class vectors, or another part.
        """
        return self.loss.logits(embeddings, part=part)

    def predict(self, embeddings: Tensor, *, part: str | int | None = None) -> Tensor:
        """The class of the largest logit, `[N]`; the arguments are those of `logits`."""
        return self.loss.predict(embeddings, part=part)

    def _batch(
        self,
        embeddings: Tensor,
        labels: Any = None,
        tuples: Any = None,
        ref_embeddings: Tensor | None = None,
        ref_labels: Any = None,
    ) -> Batch:
        read = Batch.of(embeddings, labels, tuples=tuples, ref_embeddings=ref_embeddings, ref_labels=ref_labels)
        return self._mined(read)

    def _mined(self, batch: Batch) -> Batch:
        """The batch with what the miner selects, if there is one."""
        if self.miner is None:
            return batch
        if batch.selection is not None:
            raise InputError("this pipeline has a miner, which chooses the tuples; leave one of the two out")
        if refusal := self.loss.refusal_of_a_miner():
            raise InputError(refusal)
        return batch.replace(selection=self.miner.selection(self.loss.with_match(batch)))

    def to_spec(
        self, *, defaults: bool = False, requires: bool = False, registry: Registry | None = None
    ) -> dict[str, Any]:
        """The spec that builds this pipeline again.

        Args:
            defaults: give every parameter, also those left at their defaults.
            requires: name the distributions of its components, with the versions that are installed and those after
                them that promise to be compatible, as `metricreg.lock` does; what was stated is kept.
            registry: whose names are used; the default registry if None.

        Raises:
            SpecError: a component that is not registered; or, with `requires`, of no installed distribution.
        """
        spec: dict[str, Any] = {"version": VERSION}
        parts: dict[str, Component] = {"loss": self.loss} | ({} if self.miner is None else {"miner": self.miner})
        spec |= specs_of(parts, registry, defaults)
        stated = self.requires
        if requires:
            stated = requirements(stated, installed(parts, default_registry() if registry is None else registry))
        if stated:
            spec["requires"] = dict(stated)
        if defaults or self.execution is not None:
            spec["execution"] = _execution_spec(self.execution or Execution(), defaults)
        return spec


def _execution_spec(execution: Execution, defaults: bool) -> dict[str, Any]:
    """The plan, and what is not the default, unless all is wanted."""
    default = asdict(Execution())
    given = asdict(execution).items()
    return {k: v for k, v in given if k == "plan" or (v is not None and (defaults or v != default[k]))}


def _forget_same_state(pipeline: Pipeline, incompatible: object) -> None:
    """What was loaded may be other on other ranks."""
    pipeline._group.has_same_state = False


class _Group:
    """The processes that share the steps of a pipeline, which no copy takes along.

    Args:
        group: of torch.distributed; all processes if None.
    """

    def __init__(self, group: ProcessGroup | None = None) -> None:
        self._group = None if group is None else ref(group)
        self.has_same_state = False

    @property
    def group(self) -> ProcessGroup | None:
        """Itself; None for all processes."""
        found = None if self._group is None else self._group()
        if found is None and self._group is not None:
            raise InputError("the group that was given to distributed was destroyed; give another, or None for all")
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> _Group:
        return _Group(self.group)

    def __reduce__(self) -> tuple[type[_Group], tuple[()]]:
        return _Group, ()


def build(spec: Any, *, registry: Registry | None = None, strict: bool | None = None) -> Pipeline:
    """Build the pipeline that a spec describes.

    Args:
        spec: a dict, such as `metricreg.load` returns; see the page "The spec" of the documentation.
        registry: where names are looked up; the default registry, with everything installed, if None.
        strict: raise `PluginError` if any installed plugin was left out, even one the spec does not name. None leaves
            that to the environment variable METRICREG_STRICT.

    Raises:
        SpecError: listing every problem of the spec, each with a JSON pointer.
        PluginError: see `strict`.
    """
    registry = default_registry() if registry is None else registry
    if strict:
        require_plugins(registry)
    parsed, report = parse(spec, registry)
    warn_renamed(report.renamed, stacklevel=2)
    unbuilt: Any = parsed
    miner = None if unbuilt.miner is None else unbuilt.miner.construct(("miner",))
    execution = None if parsed.execution is None else parsed.execution.execution()
    return Pipeline(unbuilt.loss.construct(("loss",)), miner, execution, parsed.requires)
