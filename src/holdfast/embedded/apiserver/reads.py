"""GET of one object and LIST of many. Lists join stored bytes; nothing is decoded unless a selector or Table asks for it."""

import base64
import binascii
from typing import Any

from holdfast.embedded.apiserver.ages import now
from holdfast.embedded.apiserver.api import Api, Call, list_document
from holdfast.embedded.apiserver.errors import bad_request, gone, too_new
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.selectors import Selector
from holdfast.embedded.apiserver.store import Bodies, Key, Page, Record
from holdfast.embedded.apiserver.tables import partial, table
from holdfast.embedded.apiserver.wire import with_version
from holdfast.kube.codec import CodecError, decode, encode

_MATCHES = ("Exact", "NotOlderThan")


def served(kind: Kind, record: Record) -> bytes:
    """Stored bytes in the version of the request."""
    return with_version(record.data, kind.storage_api_version, kind.api_version)


def render(call: Call, obj: Object | Record) -> bytes:
    """One object in the form that the request accepts."""
    if isinstance(obj, Record):
        if not (call.accept.table or call.accept.metadata_only):
            return served(call.kind, obj)
        obj = decode(served(call.kind, obj))
    if obj.get("kind") == "Status" or not (call.accept.table or call.accept.metadata_only):
        return encode(obj)
    if call.accept.metadata_only:
        return encode(partial(obj))
    meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    return encode(table(call.kind, [obj], meta, now(), call.query.text("includeObject") or "Metadata"))


def get(api: Api, call: Call) -> Record:
    """The named object; 404 when there is none."""
    record = api.store.get(call.key)
    if record is None:
        raise call.missing()
    return record


def _continue_token(page: Page | Bodies, rv: int) -> str:
    if page.after is None:
        return ""
    return base64.urlsafe_b64encode(encode({"rv": rv, "after": [page.after.ns, page.after.name]})).decode()


def _start(kind: Kind, token: str, floor: int) -> tuple[Key, int]:
    try:
        found = decode(base64.urlsafe_b64decode(token))
        ns, name = found["after"]
        key, rv = Key(kind.resource, str(ns), str(name)), int(found["rv"])
    except (CodecError, binascii.Error, ValueError, KeyError, TypeError):
        raise bad_request("continue key is not valid: start the list again") from None
    if rv < floor:
        raise gone("The provided continue parameter is too old to display a consistent list result: start the list again.")
    return key, rv


def _check_revision(api: Api, call: Call, *, is_first: bool) -> None:
    """A list at a revision: the present state is never older than what was asked, and an exact past is not kept."""
    asked, match = call.query.number("resourceVersion", 0), call.query.text("resourceVersionMatch")
    if match and (match not in _MATCHES or not call.query.text("resourceVersion") or not is_first):
        raise bad_request(
            f'resourceVersionMatch: "{match}" must be one of {", ".join(_MATCHES)}, with a resourceVersion and without continue'
        )
    if not api.store.has_reached(asked):
        raise too_new(asked, api.store.rv)
    ring = api.rings.of(call.kind.resource)
    if match == "Exact" and ring.cursor(asked) != ring.end:
        raise gone(f"The resourceVersion for the provided list is too old: {asked} ({api.store.rv}): list without one")


def _place(api: Api, call: Call) -> tuple[int, Key | None, int]:
    """The limit of a list (0: none), and for a later page where it goes on and the first page's revision."""
    limit, token = call.query.number("limit", 0), call.query.text("continue")
    after, first_rv = _start(call.kind, token, api.rings.of(call.kind.resource).floor) if token else (None, 0)
    _check_revision(api, call, is_first=not token)
    return limit, after, first_rv


def _meta(page: Page | Bodies, first_rv: int) -> Object:
    """The list's metadata. The first page's revision holds for all pages."""
    meta: Object = {"resourceVersion": str(first_rv or page.rv)}
    if more := _continue_token(page, first_rv or page.rv):
        meta["continue"] = more
    return meta


def _remaining(api: Api, call: Call, page: Page | Bodies) -> Object:
    """How many objects come after a page, where that is known without looking at them."""
    return {"remainingItemCount": api.store.count(call.kind.resource, call.route.ns, page.after)} if page.after else {}


def select(api: Api, call: Call, selector: Selector) -> tuple[list[Record], Object]:
    """One page of the selected objects, and the list's metadata."""
    limit, after, first_rv = _place(api, call)
    records: list[Record] = []
    while True:
        page = api.store.page(call.kind.resource, call.route.ns, limit and limit - len(records), after)
        records += page.records if selector.everything else [item for item in page.records if selector.matches(item)]
        first_rv = first_rv or page.rv
        if page.after is None or len(records) >= limit:
            break
        after = page.after
    return records, _meta(page, first_rv) | (_remaining(api, call, page) if selector.everything else {})


def _everything(api: Api, call: Call) -> tuple[list[bytes], Object]:
    """One page of all objects as bytes to be served, and the list's metadata."""
    limit, after, first_rv = _place(api, call)
    page = api.store.bodies(call.kind.resource, call.route.ns, limit, after)
    stored, wanted = call.kind.storage_api_version, call.kind.api_version
    bodies = page.bodies if stored == wanted else [with_version(data, stored, wanted) for data in page.bodies]
    return bodies, _meta(page, first_rv) | _remaining(api, call, page)


def list_objects(api: Api, call: Call) -> bytes:
    """The list document, or the Table of the selected objects."""
    selector = Selector(call.query.text("labelSelector"), call.query.text("fieldSelector"), call.kind.selectable)
    if selector.everything and not call.accept.table and not call.accept.metadata_only:
        return _list(call.kind, *_everything(api, call))
    records, meta = select(api, call, selector)
    if call.accept.table:
        objects = (decode(served(call.kind, record)) for record in records)
        return encode(table(call.kind, objects, meta, now(), call.query.text("includeObject") or "Metadata"))
    if call.accept.metadata_only:
        items: list[Any] = [partial(record.object()) for record in records]
        document = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items}
        return encode(document)
    return _list(call.kind, [served(call.kind, record) for record in records], meta)


def _untyped(kind: Kind, bodies: list[bytes]) -> list[bytes]:
    """Items of a built-in list say neither apiVersion nor kind: the list does. Stored bytes begin with both."""
    head = encode({"apiVersion": kind.api_version, "kind": kind.kind})[:-1] + b","
    size = len(head)
    return [b"{" + data[size:] if data.startswith(head) else data for data in bodies]


def _list(kind: Kind, bodies: list[bytes], meta: Object) -> bytes:
    """The list document around bytes to be served."""
    head = encode(list_document(kind, [], meta)).removesuffix(b"]}")
    if not bodies:
        return head + b"]}"
    if not kind.custom:
        bodies = _untyped(kind, bodies)
    bodies[0] = head + bodies[0]
    bodies[-1] += b"]}"
    return b",".join(bodies)
