"""From the body of a write to the fields of a document: schema, defaults, references, rules; or a 422 that names each issue.

Fields that the server owns and that clients send back (`status`, and what stands beside it) are dropped. An empty target is an
absent one, since the vendor's own client always sends it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from msgspec import inspect as types

from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import text
from holdfast.dialects.cloudcasa import validate
from holdfast.dialects.cloudcasa.documents import META
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection
from holdfast.dialects.cloudcasa.validate import Lookup
from holdfast.rest.errors import RestError, invalid
from holdfast.schema.emit import openapi_of, schema_of
from holdfast.schema.errors import REQUIRED, FieldError
from holdfast.schema.fields import Wire
from holdfast.schema.structural import Schema

_TARGETS: Final = ("offload_provider", "backup_provider")


def spec_schema(collection: Collection) -> Object:
    """Return the schema of a document's own fields."""
    return openapi_of(collection.spec.type)["properties"]["spec"]


def compiled(schema: Object) -> Schema:
    """Return the check of some fields."""
    return Schema.compile({"type": "object", "properties": {"spec": schema}, "required": ["spec"]})


_SCHEMAS: Final[Mapping[str, Schema]] = {name: compiled(spec_schema(each)) for name, each in COLLECTIONS.items()}


def draft(collection: Collection, body: Any, lookup: Lookup, *, ident: str = "", old: Object | None = None) -> Object:
    """Return the fields that a body gives a document; `ident` and `old` are of the one it replaces. Raises RestError 422."""
    if not isinstance(body, dict):
        raise RestError(422, "a document must be a JSON object")
    given = dict(cast(Object, body))
    found = list(_not_yours(given, ident))
    for name in ("status", *collection.shown, *META):
        given.pop(name, None)
    for name in _TARGETS:
        if given.get(name) == {}:
            del given[name]
    spec, issues = checked(_SCHEMAS[collection.plural], given)
    found += issues
    if not found:
        spec = _derived(collection, spec, lookup)
        found += validate.problems(collection, spec, old, lookup)
    if found:
        raise invalid(found)
    return spec


def checked(schema: Schema, given: Object) -> tuple[Object, list[Problem]]:
    """Hold fields against a schema; returns them with defaults, and what is wrong with them."""
    found = [Problem(name, "null value not allowed: leave the field out") for name, value in given.items() if value is None]
    outcome = schema.process({"spec": given})
    found += [Problem(_path(path), "unknown field") for path in outcome.unknown]
    nulls = {problem.field for problem in found}
    found += [Problem(_path(error.path), _text(error)) for error in outcome.errors if _path(error.path) not in nulls]
    return outcome.object.get("spec") or {}, found


def merged(present: Object, patch: Object) -> Object:
    """Return a document's fields with those of a PATCH laid over; objects are merged, all else is replaced."""
    out = dict(present)
    for name, value in patch.items():
        old = out.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            out[name] = merged(cast(Object, old), cast(Object, value))
        else:
            out[name] = value
    return out


def _derived(collection: Collection, spec: Object, lookup: Lookup) -> Object:
    """Fill in what follows from other documents."""
    if collection.plural == "kubeoffloads" and not text(spec, "cluster"):
        backup = lookup.spec_of("kubebackups", text(spec, "backupdef"))
        return {**spec, "cluster": text(backup, "cluster")} if backup is not None else spec
    return spec


def _not_yours(given: Object, ident: str) -> Iterator[Problem]:
    for name in META:
        if name in given and not (name == "_id" and ident and given[name] == ident):
            yield Problem(name, "field is read-only: leave it out")


def _path(path: str) -> str:
    return path.removeprefix("spec").removeprefix(".")


def _text(error: FieldError) -> str:
    """Return an error without the value that was sent, which may be a secret."""
    if error.type == REQUIRED:
        return "required field"
    _, _, said = error.detail.partition(" in body ")
    return said or f"{error.type.lower()}: {error.detail}" if error.detail else error.type.lower()


def body_schema(body: type[Wire]) -> Object:
    """Return the schema of an action's body."""
    return schema_of(types.type_info(body))


_BODIES: Final[Mapping[type[Wire], Schema]] = {
    body: compiled(body_schema(body)) for each in COLLECTIONS.values() for body in each.actions.values()
}


def action_body(body: type[Wire], given: Any) -> Object:
    """Read the body of an action; none at all is an empty one. Raises RestError 422."""
    if given is not None and not isinstance(given, dict):
        raise RestError(422, "the body must be a JSON object")
    fields, issues = checked(_BODIES[body], cast(Object, given or {}))
    if issues:
        raise invalid(issues)
    return fields
