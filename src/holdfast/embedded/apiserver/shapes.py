"""How lists and maps of a kind merge: what strategic merge patch and server-side apply need to know of a type.

A built-in kind's shape comes from the table `types.json` (names and types of fields, made by `tools/builtin_types.py`;
its entry `|atomic` lists the types that merge as one value),
a custom resource's from its schema. The same table gives built-in kinds their validation schema.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, cast

import msgspec

from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.values import QUANTITY, limited
from holdfast.kube.codec import decode

_PACKAGES: Final = {
    "": "core",
    "apps": "apps",
    "batch": "batch",
    "storage.k8s.io": "storage",
    "rbac.authorization.k8s.io": "rbac",
    "coordination.k8s.io": "coordination",
    "scheduling.k8s.io": "scheduling",
    "events.k8s.io": "events",
    "discovery.k8s.io": "discovery",
    "policy": "policy",
    "networking.k8s.io": "networking",
    "admissionregistration.k8s.io": "admission",
    "apiextensions.k8s.io": "extensions",
    "authentication.k8s.io": "authentication",
    "authorization.k8s.io": "authorization",
    "autoscaling": "autoscaling",
}


class Shape(Protocol):
    """One value's type. Lists without a word said about them are atomic, maps are merged.

    `is_always` marks what a Go client writes even when it is empty, so that it never counts as added; `default` is what a key
    of a keyed list means when it is left out.
    """

    list_type: str
    list_keys: tuple[str, ...]
    merge_key: str
    is_merged: bool
    is_atomic: bool
    is_always: bool
    default: str

    def field(self, name: str) -> "Shape":
        """The shape of a field or map value."""
        ...

    def item(self) -> "Shape":
        """The shape of a list's items."""
        ...


class Opaque:
    """A value of which nothing is known."""

    list_type = "atomic"
    list_keys: tuple[str, ...] = ()
    merge_key = ""
    is_merged = False
    is_atomic = False
    is_always = False
    default = ""

    def field(self, name: str) -> Shape:
        """Nothing is known of what is inside either."""
        return self

    def item(self) -> Shape:
        """Nothing is known of what is inside either."""
        return self


OPAQUE: Final = Opaque()


class TypeShape:
    """A built-in type, spelled as in the table: `[]core.Container|map:name|merge:name`."""

    def __init__(self, spelling: str) -> None:
        self._type, *marks = spelling.split("|")
        told: dict[str, str] = {name: value for name, _, value in (mark.partition(":") for mark in marks)}
        self.list_type = next((name for name in ("map", "set") if name in told), "atomic")
        self.list_keys = tuple(told.get("map", "").split(",")) if told.get("map") else ()
        self.merge_key = told.get("merge", "")
        self.is_merged = "merge" in told
        self.is_atomic = "atomic" in told or self._type in _table()["|atomic"]
        self.is_always = "always" in told
        self.default = told.get("default", "")

    def field(self, name: str) -> Shape:
        """The field's type, or the map's value type."""
        if self._type.startswith("{}"):
            return _shape(self._type[2:])
        spelling = _table().get(self._type, {}).get(name)
        return _shape(spelling) if spelling else OPAQUE

    def item(self) -> Shape:
        """The item's type."""
        return _shape(self._type[2:]) if self._type.startswith("[]") else OPAQUE


class SchemaShape:
    """A node of a custom resource's structural schema."""

    merge_key = ""
    is_merged = False
    is_always = False

    def __init__(self, schema: Object) -> None:
        self._schema = schema
        self.list_type = str(schema.get("x-kubernetes-list-type", "atomic"))
        self.list_keys = tuple(cast(list[str], schema.get("x-kubernetes-list-map-keys") or ()))
        self.is_atomic = schema.get("x-kubernetes-map-type") == "atomic"
        self.default = cast(str, schema.get("default") or "")

    def field(self, name: str) -> Shape:
        """The property's schema, or that of additional properties."""
        found: Any = part(self._schema, "properties").get(name) or self._schema.get("additionalProperties")
        return SchemaShape(cast(Object, found)) if isinstance(found, dict) else OPAQUE

    def item(self) -> Shape:
        """The items' schema."""
        found: Any = self._schema.get("items")
        return SchemaShape(cast(Object, found)) if isinstance(found, dict) else OPAQUE


@cache
def _table() -> dict[str, dict[str, str]]:
    return cast(dict[str, dict[str, str]], decode(Path(__file__).with_name("types.json").read_bytes()))


@cache
def _shape(spelling: str) -> Shape:
    return TypeShape(spelling)


class _Root:
    """The top of an object: metadata is the same for every kind."""

    list_type, merge_key, is_merged, is_atomic, is_always, default = "atomic", "", False, False, False, ""
    list_keys: tuple[str, ...] = ()

    def __init__(self, inner: Shape) -> None:
        self._inner = inner

    def field(self, name: str) -> Shape:
        """Metadata from the table, the rest from the kind."""
        return _shape("meta.ObjectMeta|always") if name == "metadata" else self._inner.field(name)

    def item(self) -> Shape:
        """An object has no items."""
        return OPAQUE


def shape_of(kind: Kind) -> Shape:
    """The shape of a kind's objects."""
    if kind.custom:
        return _Root(SchemaShape(kind.openapi() if kind.openapi else {}))
    return _builtin(kind.group, kind.kind)


@cache
def _builtin(group: str, kind: str) -> Shape:
    return _Root(_shape(type_name(group, kind)))


def type_name(group: str, kind: str) -> str:
    """The name of a built-in kind's type in the tables; empty for a group that is not built in."""
    package = _PACKAGES.get(group, "")
    return f"{package}.{kind}" if package else ""


_SCALARS: Final[dict[str, Object]] = {
    "s": {"type": "string"},
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "b": {"type": "boolean"},
    "x": {"x-kubernetes-int-or-string": True},
    "q": QUANTITY,
    "o": {"x-kubernetes-preserve-unknown-fields": True},
}


def _schema(spelling: str) -> Object:
    name = spelling.partition("|")[0]
    if name in _SCALARS:
        return _SCALARS[name]
    if name.startswith("[]"):
        return {"type": "array", "items": _schema(name[2:])}
    if name.startswith("{}"):
        return {"type": "object", "additionalProperties": _schema(name[2:])}
    fields = {field: limited(name, field, _schema(text)) for field, text in _table()[name].items()}
    return {"type": "object", "properties": fields}


@cache
def schema_of(group: str, kind: str) -> Object:
    """The structural schema of a built-in kind: names and types of all fields, and what `values` knows of them."""
    document = _schema(type_name(group, kind))
    return msgspec.json.decode(msgspec.json.encode(document))
