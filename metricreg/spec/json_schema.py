"""JSON Schema 2020-12 of specs, with every installed component, for editors and other validators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from metricreg.components.component import KIND_MARK, Component
from metricreg.components.signature import former_parameters, parameter_docs, parameters_model, summary
from metricreg.components.type_hints import INT64, Declared
from metricreg.errors import RegistrationError, said
from metricreg.registry import KINDS, Entry, Registry, default_registry
from metricreg.registry.fault import complaint
from metricreg.registry.former_names import names_of
from metricreg.registry.isolation import isolated, warn
from metricreg.spec.schema_check import DEFINITIONS, misuse
from metricreg.spec.spec import PipelineSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATE = DEFINITIONS + "{model}"
Definitions = dict[str, Any]


def json_schema(registry: Registry | None = None) -> dict[str, Any]:
    """The schema of a pipeline spec: one definition a kind, and one a component.

    A kind is a name (of a component without required parameters), or an object whose `name` decides which component's
    definition applies. A component whose class cannot be loaded, or whose own schema cannot be made, is left out with a
    `PluginWarning` that says why.

    Args:
        registry: whose components; the default registry if None.
    """
    registry = default_registry() if registry is None else registry
    schema = _moved(PipelineSpec.model_json_schema(ref_template=TEMPLATE), {}, "")
    definitions = cast(Definitions, schema.pop("$defs", {}))
    for kind in KINDS:
        made = {entry: _made(registry, entry) for entry in registry if entry.kind == kind}
        found = {entry.name: d[_key(kind, entry.name)] for entry, d in made.items() if d}
        definitions[kind] = _kind(kind, found, {name: names_of(registry, kind, name)[1:] for name in found})
        for each in made.values():
            definitions |= each
    return {"$schema": DIALECT, "title": "metricreg pipeline", **schema, "$defs": definitions}


def _key(kind: str, name: str) -> str:
    return f"{kind}.{name.replace('/', '.')}"  # a slash would have to be escaped in every reference


def _kind(kind: str, components: Definitions, former: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    simple = [name for name, definition in components.items() if _is_simple(definition)]
    names = [
        {"const": name, "description": definition.get("description", "")} for name, definition in components.items()
    ]
    names += [_deprecated({"const": old}, name) for name, olds in former.items() for old in olds]
    rules = [
        {
            "if": {
                "properties": {"name": {"enum": [name, *former[name]]} if former[name] else {"const": name}},
                "required": ["name"],
            },
            "then": {"$ref": TEMPLATE.format(model=_key(kind, name))},
        }
        for name in components
    ]
    return {
        "title": kind,
        "oneOf": [
            {"enum": simple} if simple else False,
            *(_deprecated({"const": old}, name) for name in simple for old in former[name]),
            {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "anyOf": names} if names else False},
                **({"allOf": rules} if rules else {}),
            },
        ],
    }


# -- one component ----------------------------------------------------------------------------------------------------


def _made(registry: Registry, entry: Entry) -> Definitions:
    """The definitions of a component, or none, and a warning."""
    module = entry.path.partition(":")[0]
    try:
        with isolated([]):
            definitions = _definitions(
                registry.get(entry.kind, entry.name), entry, names_of(registry, entry.kind, entry.name)
            )
            written = json.dumps(definitions, allow_nan=False, ensure_ascii=False)
            written.encode()  # refuses half of a surrogate pair
            read: Definitions = json.loads(written)
            problem = misuse(read, KINDS)
            if problem:
                raise RegistrationError(problem)
            return read
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's `json_schema_extra` may raise anything
        says = complaint(error, module)
        warn(f"the JSON Schema leaves out the {entry.kind} '{entry.name}' of {entry.distribution}: {says}")
        return {}


def _definitions(cls: type[Any], entry: Entry, names: tuple[str, ...]) -> Definitions:
    """The definition of a component, and those of the types in its hints, under their keys in the whole schema."""
    if not issubclass(cls, Component):
        raise RegistrationError(f"{cls.__module__}.{cls.__qualname__} is no metricreg component")
    try:
        schema = parameters_model(cls).model_json_schema(ref_template=TEMPLATE)
    except KeyError as error:
        reference = error.args[0] if error.args else None
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise
        raise RegistrationError(f"its reference {said(error)} leads nowhere") from error  # pydantic looked for it
    key = _key(entry.kind, entry.name)
    own = schema.pop("$defs", {})
    docs = parameter_docs(cls)
    properties: dict[str, Any] = {"name": {"enum": list(names)} if names[1:] else {"const": entry.name}}
    for name, parameter in schema.get("properties", {}).items():
        described = _moved(parameter, own, key) | ({"description": docs[name]} if name in docs else {})
        properties[name] = {keyword: value for keyword, value in described.items() if keyword != "title"}
    required = ["name", *schema.get("required", [])]
    choices = _former_parameters(cls, properties, required)
    definition = {
        "title": entry.name,
        "description": summary(cls),
        "type": "object",
        "properties": properties,
        "required": required,
        **({"allOf": choices} if choices else {}),
        "additionalProperties": False,
    }
    return {key: definition} | {_own_key(key, name): _moved(each, own, key) for name, each in own.items()}


def _former_parameters(cls: type[Declared], properties: dict[str, Any], required: list[str]) -> list[dict[str, Any]]:
    """Add the former names of parameters; of all names of one, one may be given, and must if it is required."""
    names: dict[str, list[str]] = {}
    for former, now in former_parameters(cls).items():
        properties[former] = _deprecated(properties[now.name], now.name)
        names.setdefault(now.name, [now.name]).append(former)
    choices = []
    for name, each in names.items():
        one: list[dict[str, Any]] = [{"required": [alias]} for alias in each]
        if name in required:
            required.remove(name)
        else:
            one.append({"not": {"anyOf": list(one)}})
        choices.append({"oneOf": one})
    return choices


def _deprecated(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return schema | {"deprecated": True, "description": f"is called '{name}' now"}


def _is_simple(definition: dict[str, Any]) -> bool:
    """Whether the name of the component alone will do: none of its parameters is required."""
    choices = definition.get("allOf", [])
    return definition["required"] == ["name"] and all("not" in choice["oneOf"][-1] for choice in choices)


def _own_key(key: str, name: str) -> str:
    return f"{key}:{name}"  # a colon is in no name of a component


def _moved(node: Any, own: Mapping[str, Any], key: str) -> Any:
    """References to kinds, and to a component's own definitions under the names they have in the whole schema.

    Integers get the bounds that all of them have.
    """
    if isinstance(node, list):
        return [_moved(value, own, key) for value in node]
    if not isinstance(node, dict):
        return node
    node = {keyword: _moved(value, own, key) for keyword, value in node.items()}
    if KIND_MARK in node:
        return {"$ref": TEMPLATE.format(model=node.pop(KIND_MARK))} | node
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith(DEFINITIONS):
        name = reference.removeprefix(DEFINITIONS)
        return node | {"$ref": TEMPLATE.format(model=_own_key(key, name) if name in own else name)}
    if node.get("type") == "integer":
        least, most = INT64[0], INT64[-1]
        lower = (
            {}
            if node.get("exclusiveMinimum", least - 1) >= least
            else {"minimum": max(node.get("minimum", least), least)}
        )
        upper = (
            {} if node.get("exclusiveMaximum", most + 1) <= most else {"maximum": min(node.get("maximum", most), most)}
        )
        return node | lower | upper
    return node
