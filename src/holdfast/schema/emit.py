"""From structs to CRDs: walks `msgspec.inspect` and writes a structural schema.

Only what a CRD may hold is written: no references, no titles, no null alternatives. A plain `dict[str, Any]` becomes an
object that preserves unknown fields; `int | str` becomes int-or-string. A type with no place in a CRD raises TypeError
when the files are generated, not when a user applies them.
"""

from __future__ import annotations

import inspect
from typing import Any, cast

import msgspec
from msgspec import inspect as types

from holdfast.schema.fields import Wire
from holdfast.schema.kind import KindSpec
from holdfast.schema.wellformed import INT_OR_STRING, PRESERVE, VALIDATIONS

Node = dict[str, Any]

MANAGED_BY, HOLDFAST = "app.kubernetes.io/managed-by", "holdfast"
"""The label by which the CRD of a referenced kind is known to be ours, and not that of the operator whose kind it is."""

_API_VERSION = "Group and version of this object's kind."
_KIND = "Kind of this object."


def crd(kind: KindSpec) -> Node:
    """Emit the CustomResourceDefinition of a kind."""
    version: Node = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [
            {"name": column.name, "type": column.type, "jsonPath": column.path} for column in kind.columns
        ],
        "schema": {"openAPIV3Schema": openapi_of(kind.type)},
    }
    if kind.status:
        version["subresources"] = {"status": {}}
    names: Node = {"kind": kind.kind, "listKind": f"{kind.kind}List", "plural": kind.plural, "singular": kind.kind.lower()}
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    if kind.categories:
        names["categories"] = list(kind.categories)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name, "labels": {MANAGED_BY: HOLDFAST}},
        "spec": {
            "group": kind.group,
            "names": names,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


def openapi_of(root: type[Wire]) -> Node:
    """Emit the schema of a whole object from its struct: the envelope, then the struct's own fields."""
    schema = schema_of(types.type_info(root))
    envelope: Node = {
        "apiVersion": {"type": "string", "description": _API_VERSION},
        "kind": {"type": "string", "description": _KIND},
        "metadata": {"type": "object"},
    }
    return {**schema, "properties": envelope | schema["properties"]}


def schema_of(node: types.Type) -> Node:
    """Emit the schema of one type."""
    match node:
        case types.Metadata():
            inner, extra = schema_of(node.type), {key: value for key, value in extra_of(node).items() if key != "title"}
            if VALIDATIONS in inner and VALIDATIONS in extra:
                extra[VALIDATIONS] = inner[VALIDATIONS] + extra[VALIDATIONS]
            return _ordered(inner | extra)
        case types.StructType():
            return _struct(node)
        case types.StrType():
            return {"type": "string"} | _present(minLength=node.min_length, maxLength=node.max_length, pattern=node.pattern)
        case types.BoolType():
            return {"type": "boolean"}
        case types.IntType():
            return {"type": "integer", "format": "int64"} | _present(minimum=node.ge, maximum=node.le)
        case types.FloatType():
            return {"type": "number"} | _present(minimum=node.ge, maximum=node.le)
        case types.LiteralType():
            return {"type": "string", "enum": list(node.values)}
        case types.ListType():
            limits = _present(minItems=node.min_length, maxItems=node.max_length)
            return {"type": "array", "items": schema_of(node.item_type)} | limits
        case types.DictType():
            if isinstance(node.value_type, types.AnyType):
                return {"type": "object", PRESERVE: True}
            return {"type": "object", "additionalProperties": schema_of(node.value_type)}
        case types.UnionType() if {type(part) for part in node.types} == {types.IntType, types.StrType}:
            return {INT_OR_STRING: True}
        case _:
            raise TypeError(f"{node} has no place in a CRD: use text, numbers, flags, lists, maps or structs")


def extra_of(node: types.Type) -> Node:
    """Return what a field's annotations add to its type: description, title, format, extensions."""
    if not isinstance(node, types.Metadata):
        return {}
    return cast(Node, node.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType]


def description_of(cls: type) -> str:
    """Return a struct's own docstring as one line; what a base class says about itself is not its description."""
    return " ".join(inspect.cleandoc(cls.__dict__.get("__doc__") or "").split())


def default_of(field: types.Field) -> Any:
    """Return a field's default as JSON, or NODEFAULT when absence has its own meaning."""
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return extra_of(field.type).get("default", msgspec.NODEFAULT)


def _struct(node: types.StructType) -> Node:
    properties: Node = {}
    for field in node.fields:
        schema = schema_of(field.type)
        default = default_of(field)
        properties[field.encode_name] = schema if default is msgspec.NODEFAULT else schema | {"default": default}
    required = [field.encode_name for field in node.fields if field.required]
    schema: Node = {"type": "object", "description": description_of(node.cls), "properties": properties}
    if required:
        schema["required"] = required
    if issubclass(node.cls, Wire) and node.cls.OPEN:
        schema[PRESERVE] = True
    if issubclass(node.cls, Wire) and node.cls.RULES:
        schema[VALIDATIONS] = [rule.node() for rule in node.cls.RULES]
    return schema


def _present(**limits: Any) -> Node:
    return {name: limit for name, limit in limits.items() if limit is not None}


def _ordered(schema: Node) -> Node:
    """Put type and description first, where a reader looks for them."""
    head = {key: schema[key] for key in ("type", "description") if key in schema}
    return head | schema
