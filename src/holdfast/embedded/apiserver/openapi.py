"""OpenAPI v3: one document per group and version, built from the schemas that are served.

kubectl reads it for `explain`, and to learn that the server checks fields itself (`fieldValidation` on PATCH).
"""

import hashlib
from typing import Any, Final

from holdfast.embedded.apiserver.errors import no_such_path
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object, part
from holdfast.embedded.apiserver.registry import Registry
from holdfast.kube.codec import encode

_GVK = "x-kubernetes-group-version-kind"
_TEXT: Object = {"type": "string"}


V2: Final[Object] = {"swagger": "2.0", "info": {"title": "Holdfast", "version": "v1"}, "paths": {}}
"""OpenAPI v2: that no kind is described this way. kubectl falls back on it for a kind that it does not know, and only then
says which kind that is; without the document it would say that the server is wrong. What is served is described in v3."""
V2_MEDIA: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V2_CONTENT: Final = V2_MEDIA.replace("@", ".")
"""How the protobuf form is asked for, and what its answer is called: a Content-Type can't hold an `@`."""
V2_PROTOBUF: Final = b"\x0a\x032.0\x12\x0e\x0a\x08Holdfast\x12\x02v1\x42\x00"
"""The same as protobuf: swagger (1), info (2) with title (1) and version (2), empty paths (8)."""


def schema_name(kind: Kind) -> str:
    """The key of a kind's schema: the group reversed, version, kind."""
    group = ".".join(reversed((kind.group or "core").split(".")))
    return f"{group}.{kind.version}.{kind.kind}"


def _gvk(kind: Kind) -> Object:
    return {"group": kind.group, "kind": kind.kind, "version": kind.version}


def _schema(kind: Kind) -> Object:
    document: Object = dict(kind.openapi()) if kind.openapi else {"type": "object"}
    properties = {
        "apiVersion": {**_TEXT, "description": "Version of the schema of this object."},
        "kind": {**_TEXT, "description": "Kind of this object."},
        "metadata": {"type": "object", "description": "Name, labels, owners: the same for every kind."},
    }
    document["properties"] = {**part(document, "properties"), **properties}
    return {**document, _GVK: [_gvk(kind)]}


def _parameter(name: str, place: str = "query") -> Object:
    return {"name": name, "in": place, "schema": _TEXT, **({"required": True} if place == "path" else {})}


_WRITE = [_parameter(name) for name in ("dryRun", "fieldManager", "fieldValidation")]


def _operation(kind: Kind, action: str, parameters: list[Object]) -> Object:
    ref = {"$ref": f"#/components/schemas/{schema_name(kind)}"}
    answer = {"description": "OK", "content": {"application/json": {"schema": ref}}}
    found: Object = {
        "parameters": parameters,
        "responses": {"200": answer},
        "x-kubernetes-action": action,
        _GVK: _gvk(kind),
    }
    if action in ("post", "put"):
        found["requestBody"] = {"content": {"*/*": {"schema": ref}}}
    return found


def _paths(kind: Kind) -> Object:
    root = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
    inside = "/namespaces/{namespace}" if kind.namespaced else ""
    scope = [_parameter("namespace", "path")] if kind.namespaced else []
    name = [_parameter("name", "path")]
    return {
        f"{root}{inside}/{kind.plural}": {
            "get": _operation(kind, "list", []),
            "post": _operation(kind, "post", _WRITE),
            "parameters": scope,
        },
        f"{root}{inside}/{kind.plural}/{{name}}": {
            "get": _operation(kind, "get", []),
            "put": _operation(kind, "put", _WRITE),
            "patch": _operation(kind, "patch", [*_WRITE, _parameter("force")]),
            "delete": _operation(kind, "delete", [_parameter("dryRun")]),
            "parameters": [*scope, *name],
        },
    }


class Documents:
    """Builds the documents on demand and keeps them until what is served changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._serial = -1
        self._built: dict[str, bytes] = {}

    def get(self, path: str) -> bytes:
        """The index (empty path) or the document of `api/v1`, `apis/<group>/<version>`; 404 otherwise."""
        if self._serial != self._registry.serial:
            self._built, self._serial = {}, self._registry.serial
        if not path:
            return encode({"paths": {name: {"serverRelativeURL": self._url(name)} for name in self._names()}})
        if path not in self._names():
            raise no_such_path()
        return self._document(path)

    def _names(self) -> dict[str, None]:
        return dict.fromkeys(_path(kind) for kind in self._registry.all())

    def _url(self, name: str) -> str:
        digest = hashlib.sha256(self._document(name)).hexdigest().upper()
        return f"/openapi/v3/{name}?hash={digest}"

    def _document(self, name: str) -> bytes:
        if name not in self._built:
            kinds = [kind for kind in self._registry.all() if _path(kind) == name]
            paths: Object = {}
            schemas: dict[str, Any] = {}
            for kind in kinds:
                paths |= _paths(kind)
                schemas[schema_name(kind)] = _schema(kind)
            document = {"openapi": "3.0.0", "info": {"title": "Holdfast", "version": "v1"}, "paths": paths}
            self._built[name] = encode({**document, "components": {"schemas": schemas}})
        return self._built[name]


def _path(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
