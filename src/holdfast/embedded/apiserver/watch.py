"""WATCH: a cursor into the ring of recent events, written out as it moves.

A watcher holds no queue of its own: when it is slower than the ring it is told 410 and lists again, and when it stops
reading altogether its connection is cut. Selectors turn a modification into ADDED or DELETED where the object enters or
leaves what is selected, which takes the object's state before the change.
"""

import random
import time
from collections.abc import AsyncIterator
from typing import Final

from holdfast.embedded.apiserver.ages import now
from holdfast.embedded.apiserver.api import Api, Call
from holdfast.embedded.apiserver.errors import bad_request, gone, too_new
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.reads import served
from holdfast.embedded.apiserver.ring import Event, Form, watch_line
from holdfast.embedded.apiserver.selectors import Selector
from holdfast.embedded.apiserver.store import Record
from holdfast.embedded.apiserver.tables import partial, table
from holdfast.kube.codec import decode, encode

_BOOKMARK_SECONDS: Final = 60.0
_INITIAL_END: Final = "k8s.io/initial-events-end"
_CHUNK_OBJECTS: Final = 500


class Watch:
    """One watch request. Building it checks the request (400); `stream` yields chunks of lines until time is over."""

    def __init__(self, api: Api, call: Call) -> None:
        self._api = api
        self._call = call
        only = f"metadata.name={call.route.name}" if call.route.name else ""
        fields = ",".join(filter(None, (call.query.text("fieldSelector"), only)))
        self._selector = Selector(call.query.text("labelSelector"), fields, call.kind.selectable)
        self._ring = api.rings.of(call.kind.resource)
        is_plain = self._selector.everything and not call.accept.table and not call.accept.metadata_only
        kind = call.kind
        self._form = Form(call.route.ns, kind.storage_api_version, kind.api_version) if is_plain else None
        self._bookmarks = call.query.flag("allowWatchBookmarks")
        self._initial = call.query.flag("sendInitialEvents")
        if self._initial and call.query.text("resourceVersionMatch") != "NotOlderThan":
            raise bad_request("sendInitialEvents needs resourceVersionMatch=NotOlderThan")
        start = call.query.number("resourceVersion", 0)
        if not api.store.has_reached(start):
            raise too_new(start, api.store.rv)
        self._from_state = self._initial or start == 0
        self._seen = start
        self._seconds = call.query.number("timeoutSeconds", 0) or random.randint(1800, 3600)

    async def stream(self) -> AsyncIterator[bytes]:
        """Chunks of the answer: the present state when it was asked for, then each event as it is committed."""
        deadline = time.monotonic() + self._seconds
        if self._from_state:
            for chunk in self._state():
                yield chunk
        cursor = self._ring.cursor(self._seen)
        bookmark_at = time.monotonic() + _BOOKMARK_SECONDS
        while not self._api.stopping and self._is_served():
            found = None if cursor is None else self._next(cursor)
            if cursor is None or found is None:
                yield self._too_old()
                return
            if found[1]:
                yield found[1]
            if found[0] > cursor:
                cursor = found[0]
                self._seen = max(self._seen, self._ring.revision(cursor))
                continue
            at = time.monotonic()
            if at >= deadline:
                return
            if at >= bookmark_at and self._bookmarks:
                yield self._bookmark()
            if at >= bookmark_at:
                bookmark_at = at + _BOOKMARK_SECONDS
            await self._ring.more(min(deadline, bookmark_at) - at)

    def _next(self, cursor: int) -> tuple[int, bytes] | None:
        """The cursor after the next events, and their lines; None when some of them are gone."""
        if self._form is not None and self._seen <= self._ring.revision(cursor):
            return self._ring.lines(cursor, self._form)
        events = self._ring.since(cursor)
        return None if events is None else (cursor + len(events), b"".join(self._line(event) for event in events))

    def _is_served(self) -> bool:
        """Whether the kind is still there: the watch of a definition that went ends."""
        kind = self._call.kind
        return not kind.custom or self._api.registry.find(kind.group, kind.version, kind.plural) is not None

    def _state(self) -> list[bytes]:
        """ADDED for all that is there, then the bookmark that ends it; sets the revision to go on from."""
        page = self._api.store.page(self._call.kind.resource, self._call.route.ns)
        self._seen = page.rv
        found = [record for record in page.records if self._selector.matches(record)]
        chunks = [
            b"".join(self._encode("ADDED", record) for record in found[at : at + _CHUNK_OBJECTS])
            for at in range(0, len(found), _CHUNK_OBJECTS)
        ]
        if self._initial and self._bookmarks:
            chunks.append(self._bookmark({"annotations": {_INITIAL_END: "true"}}))
        return chunks

    def _line(self, event: Event) -> bytes:
        if event.rv <= self._seen or (self._call.route.ns and event.new.key.ns != self._call.route.ns):
            return b""
        type_ = self._type(event)
        if not type_:
            return b""
        return self._encode(type_, event.new)

    def _type(self, event: Event) -> str:
        """What the change means to this watcher; empty when it does not concern it."""
        if self._selector.everything:
            return event.type
        is_selected = event.type != "DELETED" and self._selector.matches(event.new)
        was_selected = event.old is not None and self._selector.matches(event.old)
        if is_selected:
            return "MODIFIED" if was_selected else "ADDED"
        return "DELETED" if was_selected else ""

    def _encode(self, type_: str, record: Record) -> bytes:
        data = served(self._call.kind, record)
        if self._call.accept.table:
            include = self._call.query.text("includeObject") or "Metadata"
            meta = {"resourceVersion": str(record.rv)}
            data = encode(table(self._call.kind, [decode(data)], meta, now(), include))
        elif self._call.accept.metadata_only:
            data = encode(partial(decode(data)))
        return watch_line(type_, data)

    def _bookmark(self, meta: Object | None = None) -> bytes:
        kind = self._call.kind
        body: Object = {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "metadata": {"resourceVersion": str(self._seen), "creationTimestamp": None, **(meta or {})},
        }
        if self._call.accept.table:
            body = table(kind, [], body["metadata"], now())
        return watch_line("BOOKMARK", encode(body))

    def _too_old(self) -> bytes:
        error = gone(f"too old resource version: {self._seen} ({self._ring.floor})")
        return watch_line("ERROR", encode(error.status()))
