"""From a custom resource to the document that REST shows, and its version tag. Pure.

The tag covers what users own, so that a status tick never breaks a client's PUT. A document without `_updated` of its own was
last written when it was made.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import msgspec

from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.read import mapping, name_of, text
from holdfast.core.times import parse_time
from holdfast.dialects.cloudcasa.kinds import UPDATED
from holdfast.dialects.cloudcasa.resources import COLLECTIONS, Collection

META: Final = ("_id", "_etag", "_created", "_updated", "_links", "_status")
"""What every document carries beside its own fields; none of it may be sent."""

_canonical: Final = msgspec.json.Encoder(order="sorted")


def document(collection: Collection, obj: Object) -> Object:
    """Return the document of an object, without `_status`."""
    fields, (created, updated) = shown(collection, obj), times(obj)
    return {
        **fields,
        "_updated": http_date(updated),
        "_created": http_date(created),
        "_etag": etag(collection, obj),
        "_id": name_of(obj),
        "_links": links(collection, name_of(obj), fields),
    }


def shown(collection: Collection, obj: Object) -> Object:
    """Return the fields of a document: the user's own, and what the server says of it."""
    spec, status = owned(collection, obj), mapping(obj, "status")
    if collection.flat:
        whole = {**spec, "state": collection.first, **status}
        return {key: value for key, value in whole.items() if key not in collection.internal}
    fields = {**spec, **{key: status[key] for key in collection.shown if key in status}}
    rest = {key: value for key, value in status.items() if key not in (*collection.shown, *collection.internal)}
    return {**fields, "status": rest} if rest else fields


def owned(collection: Collection, obj: Object) -> Object:
    """Return the fields that a user sent, or may read of what was asked for: never a credential."""
    spec = mapping(obj, "spec")
    access = mapping(spec, "s3provider")
    if "credentials" in access:
        kept = {key: value for key, value in access.items() if key != "credentials"}
        spec = {**spec, "s3provider": kept}
    return spec


def etag(collection: Collection, obj: Object) -> str:
    """Return 40 hex digits that change with what a user owns; with anything in a read-only document."""
    content: Any = mapping(obj, "spec") if collection.written else [mapping(obj, "spec"), mapping(obj, "status")]
    return hashlib.sha1(_canonical.encode([name_of(obj), content]), usedforsecurity=False).hexdigest()


def times(obj: Object) -> tuple[datetime, datetime]:
    """Return when the object was made and when a user last wrote it."""
    created = parse_time(text(obj, "metadata", "creationTimestamp", default="1970-01-01T00:00:00Z"))
    wrote = annotation(obj, UPDATED)
    updated = datetime.fromtimestamp(int(wrote), UTC) if wrote.isdigit() else created
    return created, max(created, updated)


def http_date(moment: datetime) -> str:
    """Write a time as HTTP has it: `Wed, 31 Mar 2021 08:28:41 GMT`."""
    return format_datetime(moment, usegmt=True)


def href(plural: str, ident: str = "") -> str:
    """Return the path of a document or collection as links have it."""
    return f"/v1/{plural}/{ident}" if ident else f"/v1/{plural}"


def links(collection: Collection, ident: str, shown: Object) -> Object:
    """Return the link to the document itself, and one to each document it refers to."""
    related = {
        field: {"title": COLLECTIONS[target].title, "href": href(target, shown[field])}
        for field, target in collection.references.items()
        if isinstance(shown.get(field), str)
    }
    found: Object = {"self": {"title": collection.title, "href": href(collection.plural, ident)}}
    return {**found, "related": related} if related else found
