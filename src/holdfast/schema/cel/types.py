"""The types of expressions, and how they follow from a structural schema.

What a schema leaves open is not reachable: unknown fields that are preserved, and fields without a type, are no part of a type.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast

import msgspec

from holdfast.schema.cel.syntax import RESERVED
from holdfast.schema.wellformed import EMBEDDED, INT_OR_STRING, LIST_KEYS, LIST_TYPE, PRESERVE

Schema = dict[str, Any]


class Type(msgspec.Struct, frozen=True):
    """A type: `kind` with the types it is made of.

    list has one parameter, map two (key, value), optional one, object none but `fields`: escaped name -> (name in JSON, type).
    A `var` stands for any type in the signature of a function. `list_type` and `keys` are those of the schema.
    """

    kind: str
    params: tuple[Type, ...] = ()
    fields: dict[str, tuple[str, Type]] | None = None
    list_type: str = "atomic"
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(str, self.params))})" if self.params else self.kind


DYN: Final = Type("dyn")
NULL: Final = Type("null")
BOOL: Final = Type("bool")
INT: Final = Type("int")
UINT: Final = Type("uint")
DOUBLE: Final = Type("double")
STRING: Final = Type("string")
BYTES: Final = Type("bytes")
TIMESTAMP: Final = Type("timestamp")
DURATION: Final = Type("duration")
TYPE: Final = Type("type")
A: Final = Type("var", (Type("A"),))
B: Final = Type("var", (Type("B"),))

_KEYWORDS: Final = (RESERVED - {"var", "void", "while"}) | {"true", "false", "null", "in"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ACCESSIBLE: Final = re.compile(r"[A-Za-z_.\-/][A-Za-z0-9_.\-/]*")
_METADATA: Final[dict[str, tuple[str, Type]]] = {
    "name": ("name", STRING),
    "generateName": ("generateName", STRING),
}
_STRING_FORMATS: Final = {"byte": BYTES, "date": TIMESTAMP, "date-time": TIMESTAMP, "duration": DURATION}
CONVERTED: Final = frozenset(("bytes", "timestamp", "duration", "double"))
"""Kinds whose JSON form is not their value."""


def list_of(item: Type) -> Type:
    """The type of a list."""
    return Type("list", (item,))


def map_of(key: Type, value: Type) -> Type:
    """The type of a map."""
    return Type("map", (key, value))


def optional_of(value: Type) -> Type:
    """The type of a value that may be missing."""
    return Type("optional", (value,))


def escape(name: str) -> str | None:
    """The name by which expressions know a field, or None for a field that they can't name."""
    if name in _KEYWORDS:
        return f"__{name}__"
    if not _ACCESSIBLE.fullmatch(name):
        return None
    out = name.replace("__", "__underscores__").replace(".", "__dot__").replace("-", "__dash__").replace("/", "__slash__")
    return out if _IDENTIFIER.fullmatch(out) else None


def type_of(schema: Schema, *, root: bool = False) -> Type | None:
    """The type of what a schema describes; None when it can't be reached from an expression."""
    if schema.get(INT_OR_STRING):
        return DYN
    match schema.get("type"):
        case "object":
            return _object(schema, root)
        case "array":
            item = type_of(schema.get("items") or {})
            kind = str(schema.get(LIST_TYPE, "atomic"))
            return None if item is None else Type("list", (item,), None, kind, tuple(schema.get(LIST_KEYS, ())))
        case "string":
            return _STRING_FORMATS.get(schema.get("format", ""), STRING)
        case "integer":
            return INT
        case "number":
            return DOUBLE
        case "boolean":
            return BOOL
        case _:
            return None


def _object(schema: Schema, root: bool) -> Type | None:
    values: Any = schema.get("additionalProperties")
    if isinstance(values, dict):
        value = type_of(cast(Schema, values))
        return None if value is None else map_of(STRING, value)
    fields: dict[str, tuple[str, Type]] = {}
    properties: dict[str, Schema] = schema.get("properties", {})
    for name, child in properties.items():
        escaped, kind = escape(name), type_of(child)
        if escaped is not None and kind is not None:
            fields[escaped] = (name, kind)
    if root or schema.get(EMBEDDED):
        fields |= {"apiVersion": ("apiVersion", STRING), "kind": ("kind", STRING)}
        fields["metadata"] = ("metadata", Type("object", (), dict(_METADATA)))
    if not fields and schema.get(PRESERVE):
        return Type("object", (), {})
    return Type("object", (), fields)


def unify(wanted: Type, found: Type, bound: dict[str, Type]) -> bool:
    """Whether a value of type `found` may stand where `wanted` is asked for; binds the variables of `wanted`."""
    if wanted.kind == "var":
        name = wanted.params[0].kind
        known = bound.get(name)
        if known is None or known.kind == "dyn":
            bound[name] = found
            return True
        return unify(known, found, bound) or (found.kind == "null" and known.kind in _NULLABLE)
    if "dyn" in (wanted.kind, found.kind):
        return True
    if wanted.kind != found.kind:
        return found.kind == "null" and wanted.kind in _NULLABLE
    if wanted.kind == "object":
        return wanted.fields is None or found.fields is None or wanted.fields == found.fields
    return all(unify(a, b, bound) for a, b in zip(wanted.params, found.params, strict=True))


_NULLABLE: Final = ("null", "object", "timestamp", "duration", "optional")


def substitute(kind: Type, bound: dict[str, Type]) -> Type:
    """A signature's type with its variables replaced; those without a value are dyn."""
    if kind.kind == "var":
        return bound.get(kind.params[0].kind, DYN)
    if not kind.params:
        return kind
    return msgspec.structs.replace(kind, params=tuple(substitute(param, bound) for param in kind.params))


def join(first: Type, second: Type) -> Type:
    """The type of a value that is one or the other."""
    if first == second or second.kind == "null":
        return first
    if first.kind == "null":
        return second
    return first if unify(first, second, {}) and "dyn" not in (first.kind, second.kind) else DYN
