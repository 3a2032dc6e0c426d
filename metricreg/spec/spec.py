"""PipelineSpec: what a document may say, and checking that it says it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Annotated, Any, Literal, cast, overload

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict, StrictStr, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from metricreg.components import Loss, Miner
from metricreg.components.renamed import Renaming, renamings_in
from metricreg.components.resolve import Resolution, TooMuchError, UnbuiltComponent, cause_of, unbuilt_in
from metricreg.components.type_hints import as_int, one_of
from metricreg.components.validation_errors import pointer, problems_of, shown
from metricreg.engine.execution import Distributed, Execution, Gradient, PlanName
from metricreg.errors import MAX_PROBLEMS, Problem, SpecError, cut
from metricreg.registry import Registry, default_registry
from metricreg.registry.entry import DISTRIBUTION
from metricreg.spec.document import plain
from metricreg.spec.trial import NEVER, is_own, why_never
from metricreg.spec.versions import check_version

MAX_REQUIRES = 100
MAX_SPECIFIER = 200

_CLAUSE = r"\s*(~=|===?|!=|<=?|>=?)\s*[^,\s][^,]*"
LOOKS_LIKE_SPECIFIER = rf"^({_CLAUSE}|\s*)(,({_CLAUSE}|\s*))*$"
"""For editors: what any version specifier matches, and some other text too."""


class ExecutionSpec(BaseModel):
    """How a pipeline is evaluated; never what it computes."""

    model_config = ConfigDict(extra="forbid")

    plan: PlanName = Field("auto", description="dense: all anchors at once; tiled: some at a time; auto: by size")
    tile: Annotated[int, Field(ge=1), Strict(), BeforeValidator(as_int)] | None = Field(
        None, description="anchors a tile; chosen from shapes and device if null"
    )
    distributed: Distributed = Field(
        "auto",
        description="auto: the loss of the rows of all ranks, where torch.distributed has several; off: of each rank's",
    )
    gradient: Gradient = Field(
        "ddp",
        description="of several ranks, what embeddings get: ddp: the gradient times the ranks, over which DDP and FSDP "
        "average; sum: the gradient",
    )

    def execution(self) -> Execution:
        """The same for the engine."""
        return Execution(self.plan, self.tile, self.distributed, self.gradient)


def _requirement(distribution: str, specifier: str) -> str:
    if not DISTRIBUTION.fullmatch(distribution):
        return f"'{cut(distribution)}' is no name of a distribution"
    try:
        wanted = SpecifierSet(specifier)
    except InvalidSpecifier:
        return f"'{specifier}' is no version specifier; write for example '>=1.2,<2'"
    mend = f"pip install {shlex.quote(distribution + specifier)}"
    try:
        found = version(canonicalize_name(distribution))
    except PackageNotFoundError:
        return f"'{distribution}' is not installed; {mend}"
    try:
        fits = wanted.contains(found, prereleases=True)
    except (InvalidVersion, TypeError):  # damaged metadata
        fits = False
    return "" if fits else f"{distribution} {found} is installed, and this spec needs {specifier}; {mend}"


def _requirements(given: dict[str, str]) -> dict[str, str]:
    unmet = ((name, given[name], problem) for name in given if (problem := _requirement(name, given[name])))
    lines = [
        InitErrorDetails(type=PydanticCustomError("requirement", "{message}", {"message": m}), loc=(name,), input=spec)
        for name, spec, m in islice(unmet, MAX_PROBLEMS)
    ]
    if lines:
        raise ValidationError.from_exception_data("requires", lines)
    return given


_Specifier = Annotated[StrictStr, Field(max_length=MAX_SPECIFIER, json_schema_extra={"pattern": LOOKS_LIKE_SPECIFIER})]


class PipelineSpec(BaseModel):
    """A whole objective: `{"version": 1, "loss": ..., "miner": ..., "requires": ..., "execution": ...}`."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    schema_: StrictStr | None = Field(None, alias="$schema", description="where an editor finds the schema")
    version: Annotated[Literal[1], BeforeValidator(one_of(1))] = Field(1, description="the version of this format")
    loss: Loss = Field(description="what is minimised")  # once parsed an UnbuiltComponent, as is miner
    miner: Miner | None = Field(None, description="which pairs or triplets are used; all without one")
    requires: Annotated[dict[str, _Specifier], Field(max_length=MAX_REQUIRES), AfterValidator(_requirements)] = Field(
        {},
        description='distributions that must be installed, with their versions: {"acme-reducers": ">=1.2,<2"}',
        json_schema_extra={"propertyNames": {"pattern": f"^{DISTRIBUTION.pattern}$"}},
    )
    execution: ExecutionSpec | None = Field(None, description="how it is evaluated")

    @property
    def parts(self) -> dict[str, UnbuiltComponent]:
        """Its components, once parsed."""
        parts: Any = {"loss": self.loss} | ({} if self.miner is None else {"miner": self.miner})
        return cast(dict[str, UnbuiltComponent], parts)


@dataclass(frozen=True)
class Report(Sequence[Problem]):
    """What `validate` found: a sequence of problems, empty for a spec that can be built.

    Args:
        problems: what is wrong.
        unchecked: what could not be checked, and may be right: components whose `__init__` could not be tried without
            constructing them for real, and plugins' that no batch satisfied of those that were tried.
        renamed: what the spec has by a former name, which still works, and what to write now.
    """

    problems: tuple[Problem, ...] = ()
    unchecked: tuple[Problem, ...] = ()
    renamed: tuple[Renaming, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Problem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Problem, ...]: ...
    def __getitem__(self, index: int | slice) -> Problem | tuple[Problem, ...]:
        """One problem, or some."""
        return self.problems[index]

    def __len__(self) -> int:
        """How many problems there are."""
        return len(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems)) or "no problems"


def validate(spec: Any, *, registry: Registry | None = None) -> Report:
    """Find every problem of a spec that no other hides, and build nothing.

    Components are constructed on torch's meta device to try the rules in their `__init__`: an arcface of 10^8 classes
    takes a millisecond and no memory. If it is not too large, the objective is then tried on tiny batches, to find what
    no batch satisfies.

    Args:
        spec: a dict, such as `load` returns.
        registry: where names are looked up; the default registry if None.

    Returns:
        A sequence of problems, each with a JSON pointer; empty if there are none.
    """
    try:
        parsed, report = parse(spec, registry)
    except SpecError as error:
        return Report(error.problems)
    never = why_never(parsed.parts)
    if never is None:
        return report
    if is_own(parsed.parts):
        return replace(report, problems=(never,))
    message = never.message.replace(NEVER, "no batch that was tried satisfies this: ", 1)  # it may want others
    return replace(report, unchecked=(*report.unchecked, replace(never, message=message)))


def parse(spec: Any, registry: Registry | None = None) -> tuple[PipelineSpec, Report]:
    """Check a spec, giving its parts with components still to be constructed, and a report without problems.

    Raises:
        SpecError: listing every problem.
    """
    registry = default_registry() if registry is None else registry
    document = plain(spec)
    if not isinstance(document, dict):
        raise SpecError([Problem("", 'a spec is an object, for example {"loss": "contrastive"}', shown(document))])
    if "name" in document and "loss" not in document:
        raise SpecError(
            [Problem("", 'this is a component; a spec holds it as {"loss": {"name": ...}}', shown(document))]
        )
    check_version(document)
    requires = document.get("requires")
    stated = requires.items() if isinstance(requires, dict) and len(requires) <= MAX_REQUIRES else ()
    context = Resolution(registry, {name: versions for name, versions in stated if isinstance(versions, str)})
    try:
        parsed = PipelineSpec.model_validate(document, context=context)
    except TooMuchError as error:
        raise SpecError(str(error)) from None
    except ValidationError as error:
        problems = problems_of(error, document, lambda node: _known_keys(node, document, context))
        raise SpecError(problems) from cause_of(error)
    unchecked = (Problem(pointer(path), each.unchecked) for each, path in unbuilt_in(parsed.parts) if each.unchecked)
    return parsed, Report((), tuple(unchecked), renamings_in(parsed.parts, document, registry))


def _known_keys(node: Any, document: Mapping[str, Any], context: Resolution) -> list[str] | None:
    if node is document:
        return [field.alias or name for name, field in PipelineSpec.model_fields.items()]
    if node is document.get("execution"):
        return list(ExecutionSpec.model_fields)
    return context.known_keys(node)
