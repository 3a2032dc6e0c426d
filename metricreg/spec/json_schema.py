"""JSON Schema 2020-12 of specs, with every installed component, for editors and other validators."""

from __future__ import annotations

from typing import Any, cast

from metricreg.components.component import KIND_MARK
from metricreg.components.signature import former_parameters, parameter_docs, parameters_model, summary
from metricreg.components.type_hints import Declared
from metricreg.registry import KINDS, Entry, Registry, default_registry
from metricreg.registry.former_names import names_of
from metricreg.spec.spec import PipelineSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEMPLATE = "#/$defs/{model}"


def json_schema(registry: Registry | None = None) -> dict[str, Any]:
    """The schema of a pipeline spec: one definition a kind, and one a component.

    A kind is a name (of a component without required parameters), or an object whose `name` decides which component's
    definition applies. A component whose class cannot be loaded is left out.

    Args:
        registry: whose components; the default registry if None.
    """
    registry = default_registry() if registry is None else registry
    schema = _moved(PipelineSpec.model_json_schema(ref_template=TEMPLATE), {}, "")
    definitions = cast(dict[str, Any], schema.pop("$defs", {}))
    for kind in KINDS:
        entries = [entry for entry in registry if entry.kind == kind]
        loaded = {entry.name: found for entry in entries if (found := _definition(registry, entry, definitions))}
        definitions[kind] = _kind(kind, loaded, {name: names_of(registry, kind, name)[1:] for name in loaded})
        definitions |= {_key(kind, name): definition for name, definition in loaded.items()}
    return {"$schema": DIALECT, "title": "metricreg pipeline", **schema, "$defs": definitions}


def _key(kind: str, name: str) -> str:
    return f"{kind}.{name.replace('/', '.')}"  # a slash would have to be escaped in every reference


def _kind(kind: str, components: dict[str, dict[str, Any]], former: dict[str, tuple[str, ...]]) -> dict[str, Any]:
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


def _definition(registry: Registry, entry: Entry, definitions: dict[str, Any]) -> dict[str, Any] | None:
    try:
        cls = registry.get(entry.kind, entry.name)
    except TypeError:  # RegistrationError: `metricreg plugins` and `describe` say why
        return None
    schema = parameters_model(cls).model_json_schema(ref_template=TEMPLATE)
    prefix = _key(entry.kind, entry.name)
    own = {name: _moved(d, {}, prefix) for name, d in schema.pop("$defs", {}).items()}
    definitions |= {f"{prefix}.{name}": definition for name, definition in own.items()}
    docs = parameter_docs(cls)
    names = names_of(registry, entry.kind, entry.name)
    properties: dict[str, Any] = {"name": {"enum": list(names)} if names[1:] else {"const": entry.name}}
    for name, parameter in schema.get("properties", {}).items():
        described = _moved(parameter, own, prefix) | ({"description": docs[name]} if name in docs else {})
        properties[name] = {key: value for key, value in described.items() if key != "title"}
    required = ["name", *schema.get("required", [])]
    choices = _former_parameters(cls, properties, required)
    return {
        "title": entry.name,
        "description": summary(cls),
        "type": "object",
        "properties": properties,
        "required": required,
        **({"allOf": choices} if choices else {}),
        "additionalProperties": False,
    }


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


def _moved(node: Any, own: dict[str, Any], prefix: str) -> Any:
    """References to kinds, and to a component's own definitions under the names they have in the whole schema."""
    if isinstance(node, dict):
        if KIND_MARK in node:
            kind = node[KIND_MARK]
            rest = {key: value for key, value in node.items() if key != KIND_MARK}
            return rest | {"$ref": TEMPLATE.format(model=kind)}
        reference = node.get("$ref", "")
        name = reference.removeprefix("#/$defs/")
        if name in own:
            return node | {"$ref": TEMPLATE.format(model=f"{prefix}.{name}")}
        return {key: _moved(value, own, prefix) for key, value in node.items()}
    return [_moved(value, own, prefix) for value in node] if isinstance(node, list) else node
