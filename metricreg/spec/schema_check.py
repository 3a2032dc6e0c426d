"""Whether what a component contributes to the JSON Schema is one: keywords, their values, and where references lead.

Only the `json_schema_extra` or `__get_pydantic_json_schema__` of a hint can make it anything else, and for one wrong
keyword a validator refuses the whole schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from metricreg.errors import cut

DEFINITIONS = "#/$defs/"
TYPES = ("null", "boolean", "object", "array", "number", "integer", "string")

ONE_SCHEMA = {
    "items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "contentSchema",
}  # fmt: skip
LIST_OF_SCHEMAS = {"allOf", "anyOf", "oneOf", "prefixItems"}
OBJECT_OF_SCHEMAS = {"properties", "patternProperties", "dependentSchemas", "definitions", "$defs"}
BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
COUNTS = tuple(f"{bound}{what}" for bound in ("min", "max") for what in ("Length", "Items", "Properties", "Contains"))
FLAGS = ("uniqueItems", "deprecated", "readOnly", "writeOnly")
TEXTS = ("title", "description", "format", "$ref", "$comment", "pattern", "contentEncoding", "contentMediaType")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_types(value: Any) -> bool:
    return value in TYPES if _is_text(value) else _are_names(value) and bool(value) and set(value) <= {*TYPES}


_TAKES: dict[str, Callable[[Any], bool]] = {
    "type": _are_types,
    "enum": lambda value: isinstance(value, list),
    "examples": lambda value: isinstance(value, list),
    "required": _are_names,
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_are_names, value.values())),
    "multipleOf": lambda value: _is_number(value) and value > 0,
    **dict.fromkeys(BOUNDS, _is_number),
    **dict.fromkeys(COUNTS, _is_count),
    **dict.fromkeys(FLAGS, lambda value: isinstance(value, bool)),
    **dict.fromkeys(TEXTS, _is_text),
    "dependencies": lambda value: False,  # of older dialects
}


def misuse(definitions: Mapping[str, Any], kinds: tuple[str, ...]) -> str | None:
    """What is wrong with the definitions of a component, or None.

    Args:
        definitions: by their names among those of the whole schema.
        kinds: other definitions that there are.
    """
    places = {DEFINITIONS + name for name in (*definitions, *kinds)}
    for schema in definitions.values():
        for node in _schemas(schema):
            problem = _problem(node, places)
            if problem:
                return problem
    return None


def _schemas(schema: Any) -> Iterator[Any]:
    """A schema and those in it."""
    yield schema
    if not isinstance(schema, dict):
        return
    for keyword, value in schema.items():
        inner: Any = ()
        if keyword in ONE_SCHEMA:
            inner = (value,)
        elif keyword in LIST_OF_SCHEMAS and isinstance(value, list):
            inner = value
        elif keyword in OBJECT_OF_SCHEMAS and isinstance(value, dict):
            inner = value.values()
        for each in inner:
            yield from _schemas(each)


def _problem(schema: Any, places: set[str]) -> str | None:
    if not isinstance(schema, dict):
        return None if isinstance(schema, bool) else f"{cut(repr(schema))} is no schema"
    for keyword, value in schema.items():
        if keyword in LIST_OF_SCHEMAS:
            takes = isinstance(value, list) and bool(value)
        elif keyword in OBJECT_OF_SCHEMAS:
            takes = isinstance(value, dict)
        elif keyword.startswith("$") and keyword not in _TAKES:
            return f"its keyword '{cut(keyword)}' may change what references mean"
        else:
            takes = keyword not in _TAKES or _TAKES[keyword](value)
        if not takes:
            return f"its keyword '{cut(keyword)}' cannot be {cut(repr(value))}"
    leads = "$ref" not in schema or schema["$ref"] in places
    return None if leads else f"its reference '{cut(schema['$ref'])}' leads nowhere"
