"""Inputs: random embeddings and labels to measure on, and specs that are fitted to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metricreg import InputError, Pipeline, SpecError, build, default_registry, validate
from metricreg.components.signature import parameters_of
from metricreg.spec.describe import describe
from metricreg.spec.document import MAX_NODES, SUFFIXES, is_written, load, loads, spec_in

DTYPES = ("float32", "float64", "bfloat16", "float16")
LARGEST = 2**24
REQUIRED = ("num_classes", "embedding_size", "class_counts", "l")
"""Parameters of losses that are sizes: of classes, of dimensions, of samples of each class, of dimensions."""


@dataclass(frozen=True)
class Inputs:
    """Random embeddings and labels, the same ones for the same arguments.

    Args:
        batch: N, samples.
        dim: D, features.
        per_class: samples of each class that is in the batch; more if there are too few classes.
        classes: C, the classes that labels are drawn from, spread over them; as many as are in the batch if None.
        dtype: of the embeddings.
        device: where they are.
        grouped: the samples of a class stand one after the other; in random order if False.
        references: M, rows of a separate reference set; the batch itself if None.
    """

    batch: int
    dim: int = 256
    per_class: int = 4
    classes: int | None = None
    dtype: str = "float32"
    device: str = "cpu"
    grouped: bool = False
    references: int | None = None

    def __post_init__(self) -> None:
        sizes = {"batch": self.batch, "dim": self.dim, "per-class": self.per_class}
        optional = {"classes": self.classes, "references": self.references}
        for name, value in (sizes | {name: size for name, size in optional.items() if size is not None}).items():
            if not isinstance(value, int) or not 1 <= value <= LARGEST:
                raise InputError(f"{name} is a whole number, at least 1 and at most {LARGEST:,}; got {value!r}")
        if self.dtype not in DTYPES:
            raise InputError(f"dtype is one of {', '.join(DTYPES)}; got {self.dtype!r}")

    @property
    def present(self) -> int:
        """How many classes are in the batch."""
        return min(max(1, self.batch // self.per_class), self.classes or self.batch)

    @property
    def known(self) -> int:
        """C: how many classes a loss with class vectors has to know."""
        return self.classes or self.present

    def check_device(self) -> None:
        """Raise `InputError` unless it is a CPU or a CUDA device on which tensors can be made."""
        try:
            if torch.device(self.device).type not in ("cpu", "cuda"):
                raise ValueError("time and memory are measured on cpu and cuda")
            torch.empty(1, device=self.device)
        except Exception as error:  # torch raises AssertionError and RuntimeError for these
            usable = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
            reason = str(error).split("\n")[0]
            raise InputError(
                f"the device '{self.device}' cannot be used here ({reason}); there is {', '.join(usable)}"
            ) from None

    def tensors(self, two_views: bool = False) -> dict[str, Tensor]:
        """What a pipeline is called with: `embeddings [N, D]`, and `labels [N]` or `ref_embeddings` or both.

        Args:
            two_views: a second view of each sample stands as reference embeddings, and there are no labels.
        """
        generator = torch.Generator().manual_seed(0)

        def rows(count: int) -> Tensor:
            made = torch.randn(count, self.dim, generator=generator)
            return made.to(self.device, getattr(torch, self.dtype))

        def labels(count: int) -> Tensor:
            groups = torch.arange(count) % self.present
            groups = groups.sort().values if self.grouped else groups[torch.randperm(count, generator=generator)]
            return (groups * self.known // self.present).to(self.device)

        if two_views:
            return {"embeddings": rows(self.batch), "ref_embeddings": rows(self.batch)}
        made = {"embeddings": rows(self.batch), "labels": labels(self.batch)}
        if self.references:
            made |= {"ref_embeddings": rows(self.references), "ref_labels": labels(self.references)}
        return made


def fit(given: Any, inputs: Inputs) -> tuple[dict[str, Any], Inputs]:
    """A valid spec and inputs that fit each other.

    The sizes that a loss needs and that the spec leaves open come from the inputs; the number of classes that a spec
    gives becomes that of inputs that have none.

    Args:
        given: a spec; a file of a spec or an experiment; a spec as JSON; or the name of a loss, whose required
            parameters are then made up.
        inputs: the sizes.

    Raises:
        SpecError: no such file or loss, or a spec that is not valid.
        InputError: more classes than the spec is for.
    """
    spec = _document(given)
    if isinstance(spec, dict):
        spec = spec | {"loss": _with_sizes(spec.get("loss"), inputs)}
    if problems := validate(spec):
        raise SpecError(problems, f"cannot measure {given}")
    with torch.device("meta"):
        return spec, suited(inputs, build(spec))


def suited(inputs: Inputs, pipeline: Pipeline) -> Inputs:
    """The inputs with no more classes than a pipeline is for."""
    numbers = [getattr(part, "num_classes", None) for part in pipeline.modules()]
    limit = min((number for number in numbers if isinstance(number, int)), default=inputs.known)
    if inputs.known <= limit:
        return inputs
    if inputs.classes is not None:
        raise InputError(f"the spec is for {limit} classes, and classes is {inputs.classes}; give at most {limit}")
    return replace(inputs, classes=limit)


def _document(given: Any) -> Any:
    """The spec that is meant; one of a loss that is only named has what the loss requires, but for its sizes."""
    if isinstance(given, Path) or (isinstance(given, str) and given.lower().endswith(SUFFIXES)):
        given = load(given)
    elif isinstance(given, str) and is_written(given):
        given = loads(given)
    elif isinstance(given, str):
        try:
            example = describe("loss", given).example
        except SpecError as error:
            said = f"{error}; give a file ({', '.join(SUFFIXES)}), JSON, or the name of a loss"
            raise SpecError(said, "cannot measure") from None
        example = example if isinstance(example, dict) else {"name": example}
        return {"loss": {key: value for key, value in example.items() if key not in REQUIRED}}
    return spec_in(given)[0] if isinstance(given, dict) else given


def _with_sizes(loss: Any, inputs: Inputs) -> Any:
    """The spec of a loss with the sizes that it needs and does not have."""
    node = {"name": loss} if isinstance(loss, str) else loss
    try:
        cls = default_registry().get("loss", node["name"])
        parameters = parameters_of(cls)
    except (SpecError, KeyError, TypeError):
        return loss  # what is wrong with it, `validate` says
    counts = [inputs.per_class] * min(inputs.known, MAX_NODES)
    sizes = dict(zip(REQUIRED, (inputs.known, inputs.dim, counts, inputs.dim), strict=True))
    needed = {name: size for name, size in sizes.items() if name in parameters and parameters[name].required}
    if "num_classes" in parameters and cls.compared_with == "own rows" and len(node) == 1:
        needed["num_classes"] = inputs.known
    memory = parameters.get("memory_size")
    if memory and (memory.required or memory.default < inputs.batch):
        needed["memory_size"] = inputs.batch
    return needed | node
