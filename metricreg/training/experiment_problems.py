"""From pydantic's errors about an experiment to problems that a person can act on."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from metricreg.components.validation_errors import nearest, pointer, shown
from metricreg.errors import Problem

NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


def problems_of(error: ValidationError, document: Any, model: type[BaseModel]) -> list[Problem]:
    """One problem for each of pydantic's errors, with a pointer that resolves in the document."""
    return [_problem(line, document, model) for line in error.errors(include_url=False)]


def _problem(line: ErrorDetails, document: Any, model: type[BaseModel]) -> Problem:
    kind, context = line["type"], line.get("ctx", {})
    path, known = _place(line["loc"], document, model)
    value = line["input"]
    if kind == "missing":
        missing = str(line["loc"][-1])
        return Problem(pointer(path[:-1]), f"'{missing}' is required and missing")
    if kind == "extra_forbidden":
        return Problem(pointer(path), f"unknown key '{path[-1]}'; {nearest(str(path[-1]), known)}", shown(value))
    if kind == "union_tag_not_found":
        return Problem(pointer(path), "'name' is required and missing", shown(value))
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return Problem(pointer(path), "must be an object", shown(value))
    if kind == "union_tag_invalid":
        names = [name.strip(" '") for name in context["expected_tags"].split(",")]
        return Problem(pointer([*path, "name"]), _choice(value["name"], names), shown(value["name"]))
    if kind == "literal_error":
        names = [name.strip("'") for name in context["expected"].replace(" or ", ", ").split(", ")]
        return Problem(pointer(path), _choice(value, names), shown(value))
    message = re.sub(r"^(Input|String|List) should", "must", line["msg"].removeprefix("Value error, "))
    if kind in ("int_type", "float_type") and isinstance(value, str) and NUMBER.fullmatch(value):
        message += "; this is text: leave the quotes out, and in YAML write 1.0e-3, not 1e-3"
    return Problem(pointer(path), message, None if kind == "value_error" else shown(value))


def _choice(given: Any, names: list[str]) -> str:
    allowed = "must be one of " + ", ".join(f"'{name}'" for name in names)
    hint = nearest(given, names) if isinstance(given, str) else ""
    return f"{allowed}; {hint}" if hint.startswith("did you mean") else allowed


def _place(loc: tuple[str | int, ...], document: Any, model: type[BaseModel]) -> tuple[list[str | int], list[str]]:
    """The steps of `loc` that resolve in the document, and the keys that are known where the last one stands.

    For a union told apart by `name`, pydantic puts that name into `loc`; the document has no such step.
    """
    path: list[str | int] = []
    known: list[str] = []
    current: type[BaseModel] | None = model
    steps = iter(loc)
    for step in steps:
        path.append(step)
        if current is None:
            continue
        fields = {field.alias or name: field for name, field in current.model_fields.items()}
        known = list(fields)
        if step not in fields:
            continue
        annotation = fields[str(step)].annotation
        models = [cls for cls in (annotation, *get_args(annotation)) if _is_model(cls)]
        if len(models) > 1:
            tag = next(steps, None)
            models = [cls for cls in models if tag in get_args(cls.model_fields["name"].annotation)]
        current = models[0] if models else None
    return path, known


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
