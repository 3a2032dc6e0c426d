"""Subject: a pipeline, and random inputs that it takes."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metricreg.components import Loss, Miner
from metricreg.components.component import Component
from metricreg.components.signature import parameters_of
from metricreg.engine.execution import Execution
from metricreg.errors import InputError, SpecError
from metricreg.explanation.rehearsal import Inputs
from metricreg.pipeline import Pipeline, build
from metricreg.registry import Registry, default_registry
from metricreg.spec.describe import describe
from metricreg.spec.document import MAX_NODES, SUFFIXES, is_written, load, loads
from metricreg.spec.spec import parse

DTYPES = {name: getattr(torch, name) for name in ("float32", "float64", "float16", "bfloat16")}
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Sizes:
    """How large the inputs are.

    Args:
        batch: N, how many embeddings.
        dim: D, their dimension.
        classes: how many classes there are; as many as `batch` and `per_class` give if None.
        per_class: how many embeddings of a class the batch has, more if there are too few classes.
        references: how many rows a separate reference set has; None for none.
    """

    batch: int
    dim: int
    classes: int | None = None
    per_class: int = 4
    references: int | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is None and name in ("classes", "references"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is a whole number, at least 1; got {value!r}")

    @property
    def wanted(self) -> int:
        """How many classes a batch with `per_class` of each has."""
        return -(-self.batch // self.per_class)


class Subject:
    """What is explained.

    Args:
        spec: a spec, a pipeline, a file with a spec or an experiment, such a spec as JSON, or the name of a loss, whose
            required parameters are then made up.
        sizes: of the inputs.
        device: where it is meant to run, `cpu` or `cuda`.
        dtype: of the embeddings.
        registry: where names are looked up; the default registry if None.

    Raises:
        SpecError: a spec that cannot be built.
        InputError: sizes that do not fit it.
    """

    def __init__(self, spec: Any, sizes: Sizes, device: str, dtype: str, registry: Registry | None = None) -> None:
        if device not in DEVICES:
            raise InputError(f"device is one of {', '.join(DEVICES)}; got {device!r}")
        if dtype not in DTYPES:
            raise InputError(f"dtype is one of {', '.join(DTYPES)}; got {dtype!r}")
        self.sizes, self.device, self.dtype = sizes, device, dtype
        _check_room(sizes.batch * sizes.dim + (sizes.references or 0) * sizes.dim, "the embeddings alone")
        self.place = "cuda" if device == "cuda" and torch.cuda.is_available() else "cpu"
        self._spec = _document(spec, sizes, default_registry() if registry is None else registry)
        if not isinstance(self._spec, Pipeline):
            specimen = getattr(parse(self._spec, registry)[0].loss, "specimen", None)
            held = 0 if specimen is None else sum(p.numel() for p in specimen.parameters())
            _check_room(held, "the parameters and their gradients")
        self._registry = registry
        pipeline = self.pipeline()
        parts = [part for part in pipeline.modules() if isinstance(part, Loss)]
        self._views = any(part.compared_with in ("paired references", "own labels") for part in parts)
        self._labelled = not any(part.compared_with == "own labels" for part in parts)
        self.references = sizes.references or (sizes.batch if self._views else None)
        self.classes = self._fitting(pipeline)
        self.per_class = -(-sizes.batch // min(self.classes, sizes.wanted))
        self.execution = pipeline.execution or Execution()
        self.has_state = any(True for _ in pipeline.buffers())
        self.has_miner = any(isinstance(part, Miner) for part in pipeline.modules())

    def pipeline(self) -> Pipeline:
        """The pipeline, built anew."""
        with torch.random.fork_rng(devices=[]):
            if isinstance(self._spec, Pipeline):
                return copy.deepcopy(self._spec).to(self.place)
            return build(self._spec, registry=self._registry).to(self.place)

    def inputs(self, batch: int | None = None, turn: int = 0) -> Inputs:
        """Random embeddings, and labels in random order.

        Args:
            batch: how many embeddings, if not those of the sizes.
            turn: which of many batches; those that follow have the next classes.
        """
        sizes = self.sizes
        count = sizes.batch if batch is None else batch
        generator = torch.Generator().manual_seed(turn)
        x, labels = self._rows(count, generator)
        if labels is not None:
            labels = (labels + turn * -(-count // self.per_class)) % self.classes
        if self.references is None:
            return Inputs(x.requires_grad_(), labels)
        y, ref_labels = self._rows(max(1, self.references * count // sizes.batch), generator)
        return Inputs(x.requires_grad_(), labels, y.requires_grad_(self._views), ref_labels)

    def _rows(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        rows = torch.randn(count, self.sizes.dim, generator=generator).to(self.place, DTYPES[self.dtype])
        if not self._labelled:
            return rows, None
        classes = -(-count // self.per_class)
        labels = (torch.arange(count) % classes)[torch.randperm(count, generator=generator)]
        return rows, labels.to(self.place)

    def _fitting(self, pipeline: Pipeline) -> int:
        """How many classes there are, after checking the sizes against what the components say of theirs."""
        classes, most = self.sizes.classes, None
        for path, part in pipeline.named_modules():
            if not isinstance(part, Component):
                continue
            where, said = "/" + path.replace(".", "/"), _said(part)
            if said.get("embedding_size", self.sizes.dim) != self.sizes.dim:
                raise InputError(
                    f"{where} has embedding_size {said['embedding_size']}, and dim is {self.sizes.dim}; they are the "
                    "same: change one of them"
                )
            limit = said.get("num_classes")
            if limit is None and isinstance(part, Loss) and part.compared_with == "own rows":
                limit = len(proxies) if isinstance(proxies := getattr(part, "proxies", None), Tensor) else None
            if limit is None:
                continue
            if classes is not None and classes > limit:
                raise InputError(f"{where} is for {limit} classes, and classes is {classes}; give at most {limit}")
            most = limit if most is None else min(most, limit)
        found = self.sizes.wanted if classes is None else classes
        return found if most is None else min(found, most)


def _document(spec: Any, sizes: Sizes, registry: Registry) -> Any:
    """A spec, from what stands for one."""
    if isinstance(spec, Pipeline):
        return spec
    if isinstance(spec, str) and is_written(spec):
        spec = loads(spec)
    elif isinstance(spec, Path) or (isinstance(spec, str) and (spec.endswith(SUFFIXES) or Path(spec).is_file())):
        spec = load(spec)
    if not isinstance(spec, str):
        experiment = isinstance(spec, dict) and "pipeline" in spec and "loss" not in spec
        return spec["pipeline"] if experiment else spec
    if spec not in registry.names("loss"):
        kinds = [entry.kind for entry in registry if entry.name == spec]
        if kinds:
            raise SpecError(f"'{spec}' is a {kinds[0]}; what is explained is a loss, or a file with a spec", "")
        if spec.count("/") > 1 or "." in spec:
            raise SpecError(f"there is no file '{spec}'", "")
    cls: Any = registry.get("loss", spec)
    example = describe("loss", spec, registry).example
    loss = {"name": spec} | (example if isinstance(example, dict) else {}) | dict(_made_up(cls, sizes))
    return {"loss": loss}


def _check_room(entries: int, what: str) -> None:
    """Refuse what does not fit in the memory of this machine, twice, which a step on it would need."""
    try:
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows does not say
        room = 2**36
    need = 2 * entries * torch.float32.itemsize
    if need > room:
        gib = (round(size / 2**30, 1) for size in (need, room))
        raise InputError("{} need {} GiB, and this machine has {} GiB; give smaller sizes".format(what, *gib))


def _made_up(cls: type[Loss], sizes: Sizes) -> Iterator[tuple[str, Any]]:
    """Arguments for a loss of which only the name is known."""
    classes = sizes.classes or sizes.wanted
    known = {
        "embedding_size": sizes.dim,
        "num_classes": classes,
        "class_counts": [sizes.per_class] * min(classes, MAX_NODES),
        "l": sizes.dim,
        "memory_size": sizes.batch,
    }
    for name, parameter in parameters_of(cls).items():
        fits = name == "num_classes" and cls.compared_with == "own rows"
        fits |= name == "memory_size" and not parameter.required and sizes.batch > parameter.default
        if name in known and (parameter.required or fits):
            yield name, known[name]


def _said(part: Component) -> dict[str, Any]:
    """The arguments of a component, defaults included."""
    try:
        return part.to_spec(defaults=True)
    except SpecError:  # not registered
        return {}


__all__ = ["DEVICES", "DTYPES", "Sizes", "Subject"]
