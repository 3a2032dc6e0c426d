"""Inputs: random embeddings and labels to measure on, and specs that are fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metricreg.errors import InputError, SpecError

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = ("float32", "float64", "bfloat16", "float16")
SMALL = 64
"""Samples that are enough to import, allocate and start whatever a first step starts."""
LARGEST = 2**24


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
        two_views: a second view of each sample is handed over as reference embeddings, and no labels.
        references: M, rows of a separate reference set; the batch itself if None.
        seed: of the random numbers.
    """

    batch: int
    dim: int = 256
    per_class: int = 4
    classes: int | None = None
    dtype: str = "float32"
    device: str = "cpu"
    grouped: bool = False
    two_views: bool = False
    references: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("batch", "dim", "per_class", "classes", "references"):
            value = getattr(self, name)
            if value is None and name in ("classes", "references"):
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LARGEST:
                name = name.replace("_", "-")
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

    def sized(self, batch: int) -> Inputs:
        """A batch of another size, with as much fewer or more references."""
        references = self.references and max(1, self.references * batch // self.batch)
        return replace(self, batch=batch, references=references)

    def check_device(self) -> None:
        """Raise `InputError` unless it is a CPU or a CUDA device on which tensors can be made."""
        import torch

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

    def tensors(self) -> dict[str, Tensor]:
        """What a pipeline is called with: `embeddings [N, D]`, and `labels [N]` or `ref_embeddings` or both."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)

        def rows(count: int) -> Tensor:
            made = torch.randn(count, self.dim, generator=generator)
            return made.to(self.device, getattr(torch, self.dtype))

        def labels(count: int) -> Tensor:
            groups = torch.arange(count) % self.present
            groups = groups.sort().values if self.grouped else groups[torch.randperm(count, generator=generator)]
            return ((groups * self.known // self.present + self.seed) % self.known).to(self.device)

        if self.two_views:
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
    from metricreg.spec.spec import validate

    spec = _document(given)
    limit = min(_class_numbers(spec), default=None)
    if limit is not None and inputs.known > limit:
        if inputs.classes is not None:
            raise InputError(f"the spec is for {limit} classes, and classes is {inputs.classes}; give at most {limit}")
        inputs = replace(inputs, classes=limit)
    if isinstance(spec, dict):
        spec = spec | {"loss": filled(spec.get("loss"), inputs)}
    if problems := validate(spec):
        raise SpecError(problems, f"cannot measure {given}")
    return spec, inputs


def filled(loss: Any, inputs: Inputs) -> Any:
    """The spec of a loss with the sizes that it needs and does not have.

    Args:
        loss: a name or an object.
        inputs: whose sizes are filled in.
    """
    from metricreg.components.signature import parameters_of
    from metricreg.registry import default_registry
    from metricreg.spec.document import MAX_NODES

    node = {"name": loss} if isinstance(loss, str) else loss
    try:
        cls = default_registry().get("loss", node["name"])
    except (SpecError, KeyError, TypeError):
        return loss  # what is wrong with it, `validate` says
    sizes = {
        "num_classes": inputs.known,
        "embedding_size": inputs.dim,
        "class_counts": [inputs.per_class] * min(inputs.known, MAX_NODES),
        "l": inputs.dim,
        "memory_size": inputs.batch,
    }
    found = dict(node)
    for name, parameter in parameters_of(cls).items():
        wanted = name == "num_classes" and cls.compared_with == "own rows" and len(node) == 1
        wanted |= name == "memory_size" and not parameter.required and inputs.batch > parameter.default
        if name in sizes and name not in node and (parameter.required or wanted):
            found[name] = sizes[name]
    return found


def _document(given: Any) -> Any:
    from metricreg.spec.describe import describe
    from metricreg.spec.document import SUFFIXES, is_written, load, loads

    if isinstance(given, str) and is_written(given):
        given = loads(given)
    elif isinstance(given, Path) or (isinstance(given, str) and given.lower().endswith(SUFFIXES)):
        given = load(given)
    elif isinstance(given, str):
        try:
            example = describe("loss", given).example
        except SpecError as error:
            said = f"{error}; give a file ({', '.join(SUFFIXES)}), JSON, or the name of a loss"
            raise SpecError(said, "cannot measure") from None
        open_ = ("num_classes", "embedding_size", "class_counts", "l")  # which the example has some number for
        example = example if isinstance(example, dict) else {"name": example}
        return {"loss": {key: value for key, value in example.items() if key not in open_}}
    experiment = isinstance(given, dict) and "pipeline" in given and "loss" not in given
    return given["pipeline"] if experiment else given


def _class_numbers(node: Any) -> Iterator[int]:
    """Every `num_classes` in a document, and the length of every `class_counts`."""
    if not isinstance(node, dict | list):
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == "num_classes" and isinstance(value, int):
            yield value
        elif key == "class_counts" and isinstance(value, list):
            yield len(value)
        else:
            yield from _class_numbers(value)
