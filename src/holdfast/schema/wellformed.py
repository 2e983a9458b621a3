"""Is this schema structural? The rules that a real API server applies when a CRD is created.

A structural schema says the type of every field once, outside of any junctor, so that pruning and defaulting have one
meaning. A CRD that breaks a rule is refused with the schema path of each fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, cast

from holdfast.schema.errors import DUPLICATE, FORBIDDEN, INVALID, REQUIRED, UNSUPPORTED, FieldError, type_name
from holdfast.schema.formats import compile_pattern

Node = dict[str, Any]
Problems = Iterable[FieldError]

TYPES: Final = ("object", "array", "string", "integer", "number", "boolean")
PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING: Final = "x-kubernetes-int-or-string"
EMBEDDED: Final = "x-kubernetes-embedded-resource"
LIST_TYPE: Final = "x-kubernetes-list-type"
LIST_KEYS: Final = "x-kubernetes-list-map-keys"
VALIDATIONS: Final = "x-kubernetes-validations"

_NEVER: Final = (
    "$ref", "definitions", "dependencies", "deprecated", "discriminator", "id", "patternProperties", "readOnly",
    "writeOnly", "xml", "additionalItems",
)  # fmt: skip
_NOT_IN_JUNCTOR: Final = (
    "description",
    "type",
    "default",
    "additionalProperties",
    "nullable",
    "title",
    PRESERVE,
    EMBEDDED,
    VALIDATIONS,
)
_NUMBER: Final = (int, float)
_SHAPES: Final[dict[str, type | tuple[type, ...]]] = {
    "type": str, "format": str, "pattern": str, "description": str, "nullable": bool,
    "properties": dict, "items": dict, "additionalProperties": (dict, bool), "not": dict,
    "required": list, "enum": list, "allOf": list, "anyOf": list, "oneOf": list, LIST_KEYS: list,
    "minLength": int, "maxLength": int, "minItems": int, "maxItems": int, "minProperties": int, "maxProperties": int,
    "minimum": _NUMBER, "maximum": _NUMBER, "multipleOf": _NUMBER, "exclusiveMinimum": bool, "exclusiveMaximum": bool,
    PRESERVE: bool, INT_OR_STRING: bool, EMBEDDED: bool, LIST_TYPE: str,
}  # fmt: skip
_SCALARS: Final = ("string", "integer", "number", "boolean")


def problems_of(root: Node, where: str = "openAPIV3Schema") -> list[FieldError]:
    """List all that keeps `root` from being a structural schema of a custom resource; empty when it is one."""
    found = list(_node(root, where))
    if not found and root.get("type") not in (None, "object"):
        found.append(FieldError(f"{where}.type", INVALID, root["type"], "must be object at the root"))
    return found


def _node(schema: Any, where: str) -> Problems:
    misshapen = list(_shape(schema, where))
    if misshapen:
        yield from misshapen
        return
    node: Node = schema
    yield from _keywords(node, where)
    yield from _type(node, where)
    yield from _list(node, where)
    yield from _parts(node, node, where)
    for key, child in node.get("properties", {}).items():
        yield from _node(child, f"{where}.properties[{key}]")
    if "items" in node:
        yield from _node(node["items"], f"{where}.items")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _node(node["additionalProperties"], f"{where}.additionalProperties")


def _shape(schema: Any, where: str) -> Problems:
    """Check the JSON types of the keywords, so that the rest may rely on them."""
    if not isinstance(schema, dict):
        yield FieldError(where, INVALID, schema, "must be a schema")
        return
    node = cast(Node, schema)
    for name, shape in _SHAPES.items():
        value = node.get(name)
        if name in node and (not isinstance(value, shape) or (isinstance(value, bool) and bool not in _types(shape))):
            yield FieldError(f"{where}.{name}", INVALID, value, f"must not be of type {type_name(value)}")
    step = node.get("multipleOf")
    if isinstance(step, int | float) and step <= 0:
        yield FieldError(f"{where}.multipleOf", INVALID, step, "must be greater than 0")


def _types(shape: type | tuple[type, ...]) -> tuple[type, ...]:
    return shape if isinstance(shape, tuple) else (shape,)


def _parts(node: Node, outside: Node, where: str) -> Problems:
    """Check what stands below the junctors of a node; `outside` says the types of the fields named there."""
    for name in ("allOf", "anyOf", "oneOf"):
        for index, part in enumerate(node.get(name) or []):
            yield from _junctor(part, outside, f"{where}.{name}[{index}]")
    if "not" in node:
        yield from _junctor(node["not"], outside, f"{where}.not")


def _keywords(node: Node, where: str) -> Problems:
    for name in _NEVER:
        if name in node:
            yield FieldError(f"{where}.{name}", FORBIDDEN, detail=f"{name} is not supported in a structural schema")
    if node.get("uniqueItems"):
        yield FieldError(f"{where}.uniqueItems", FORBIDDEN, detail=f"use {LIST_TYPE}: set instead")
    if node.get("additionalProperties") is False:
        yield FieldError(f"{where}.additionalProperties", FORBIDDEN, detail="must not be false: unknown fields are pruned")
    if node.get("additionalProperties") and node.get("properties"):
        yield FieldError(f"{where}.additionalProperties", FORBIDDEN, detail="and properties exclude each other")
    if node.get(PRESERVE) is False:
        yield FieldError(f"{where}.{PRESERVE}", INVALID, False, "must be true or absent")
    if "pattern" in node:
        try:
            compile_pattern(node["pattern"])
        except re.error as error:
            yield FieldError(f"{where}.pattern", INVALID, node["pattern"], f"is not a usable regular expression: {error}")


def _type(node: Node, where: str) -> Problems:
    kind = node.get("type")
    if node.get(INT_OR_STRING):
        if kind is not None:
            yield FieldError(f"{where}.type", FORBIDDEN, detail=f"must be absent beside {INT_OR_STRING}")
        return
    if kind is None:
        if not node.get(PRESERVE):
            yield FieldError(f"{where}.type", REQUIRED, detail="must say the type of each field")
        return
    if kind not in TYPES:
        listing = ", ".join(f'"{name}"' for name in TYPES)
        yield FieldError(f"{where}.type", UNSUPPORTED, kind, f"supported values: {listing}")
    if kind == "array" and "items" not in node:
        yield FieldError(f"{where}.items", REQUIRED, detail="must say what the list holds")
    if node.get(EMBEDDED) and kind != "object":
        yield FieldError(f"{where}.type", INVALID, kind, f"must be object beside {EMBEDDED}")
    if node.get(EMBEDDED) and not node.get(PRESERVE) and not node.get("properties"):
        yield FieldError(f"{where}.properties", REQUIRED, detail=f"must not be empty beside {EMBEDDED} without {PRESERVE}")


def _list(node: Node, where: str) -> Problems:
    list_type = node.get(LIST_TYPE)
    keys: list[str] = node.get(LIST_KEYS, [])
    if list_type not in (None, "atomic", "set", "map"):
        yield FieldError(f"{where}.{LIST_TYPE}", UNSUPPORTED, list_type, 'supported values: "atomic", "set", "map"')
    if list_type is not None and node.get("type") != "array":
        yield FieldError(f"{where}.type", INVALID, node.get("type"), f"must be array beside {LIST_TYPE}")
    if list_type != "map":
        if keys:
            yield FieldError(f"{where}.{LIST_KEYS}", FORBIDDEN, detail=f"needs {LIST_TYPE}: map")
        return
    if not keys:
        yield FieldError(f"{where}.{LIST_KEYS}", REQUIRED, detail="a list of type map must name its keys")
    if len(set(keys)) != len(keys):
        yield FieldError(f"{where}.{LIST_KEYS}", DUPLICATE, keys)
    item: Node = node.get("items") or {}
    for key in keys:
        field = item.get("properties", {}).get(key)
        if field is None or field.get("type") not in _SCALARS:
            yield FieldError(f"{where}.{LIST_KEYS}", INVALID, key, "must name a scalar property of the items")
        elif "default" not in field and key not in item.get("required", []):
            yield FieldError(
                f"{where}.items.properties[{key}].default", REQUIRED, detail="a list key is required or has a default"
            )


def _junctor(part: Any, outside: Node, where: str) -> Problems:
    misshapen = list(_shape(part, where))
    if misshapen:
        yield from misshapen
        return
    for name in _NOT_IN_JUNCTOR:
        allowed = name == "type" and outside.get(INT_OR_STRING)
        if name in part and not allowed:
            yield FieldError(f"{where}.{name}", FORBIDDEN, detail="must be said outside of allOf, anyOf, oneOf and not")
    for key, child in part.get("properties", {}).items():
        known = outside.get("properties", {}).get(key)
        if known is None:
            yield FieldError(f"{where}.properties[{key}]", REQUIRED, detail="must also be said outside of the junctor")
        else:
            yield from _junctor(child, known, f"{where}.properties[{key}]")
    if "items" in part:
        yield from _junctor(part["items"], outside.get("items", {}), f"{where}.items")
    yield from _parts(part, outside, where)
