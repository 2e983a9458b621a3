"""The recent past of each resource, kept in memory for watchers.

A watcher is a cursor. Watchers at the same place that want the same get the same bytes, joined once. What falls out of the
ring is gone: a watcher behind it is told 410 and lists again. After a restart the past begins at the current revision.
"""

import asyncio
from bisect import bisect_right
from typing import NamedTuple

from holdfast.embedded.apiserver.store import Change, Record
from holdfast.embedded.apiserver.wire import with_version

_JOINED = 16
"""Joined lines that are kept for the next watcher; watchers that keep up are all at one place."""


class Event(NamedTuple):
    """A committed change as watchers need it: `old` is the state before, if there was one."""

    rv: int
    type: str
    new: Record
    old: Record | None

    @property
    def size(self) -> int:
        """Bytes that the event keeps alive."""
        return len(self.new.data) + (len(self.old.data) if self.old else 0)


class Form(NamedTuple):
    """What a watcher without selectors wants: one namespace (empty: all), and objects of one version stored as another."""

    ns: str
    stored: str
    wanted: str


def watch_line(type_: str, data: bytes) -> bytes:
    """One line of a watch stream."""
    return b'{"type":"' + type_.encode() + b'","object":' + data + b"}\n"


class Ring:
    """Events of one resource in revision order. `limit` events and `max_bytes` are kept at least half full."""

    def __init__(self, floor: int, limit: int = 8192, max_bytes: int = 32 << 20) -> None:
        self.floor = floor
        self._limit = limit
        self._max_bytes = max_bytes
        self._bytes = 0
        self._base = 0
        self._events: list[Event] = []
        self._joined: dict[tuple[int, Form], tuple[int, bytes]] = {}
        self._wake: set[asyncio.Future[None]] = set()

    @property
    def end(self) -> int:
        """The cursor after the newest event."""
        return self._base + len(self._events)

    def append(self, event: Event) -> None:
        """Add a committed event; call `notify` after the last of a batch."""
        self._joined.clear()
        self._events.append(event)
        self._bytes += event.size
        if len(self._events) > self._limit or self._bytes > self._max_bytes:
            self._drop(max(1, len(self._events) // 2))

    def _drop(self, count: int) -> None:
        gone, self._events = self._events[:count], self._events[count:]
        self._base += count
        self.floor = gone[-1].rv
        self._bytes -= sum(event.size for event in gone)

    def notify(self) -> None:
        """Wake every waiting watcher."""
        waiting, self._wake = self._wake, set()
        for future in waiting:
            _release(future)

    def cursor(self, rv: int) -> int | None:
        """The place after revision `rv`; None when that past is gone."""
        if rv < self.floor:
            return None
        return self._base + bisect_right(self._events, rv, key=lambda event: event.rv)

    def since(self, cursor: int, most: int = 512, most_bytes: int = 1 << 20) -> list[Event] | None:
        """Events from `cursor` on, at most so many and (after the first) so many bytes; None when some of them are gone."""
        start = cursor - self._base
        if start < 0:
            return None
        found, size = self._events[start : start + most], 0
        for count, event in enumerate(found):
            size += event.size
            if size > most_bytes and count:
                return found[:count]
        return found

    def lines(self, cursor: int, form: Form) -> tuple[int, bytes] | None:
        """The events from `cursor` on as lines, and the cursor after them; None when some of them are gone."""
        found = self._joined.get((cursor, form))
        if found is None:
            events = self.since(cursor)
            if events is None:
                return None
            wanted = (event for event in events if not form.ns or event.new.key.ns == form.ns)
            lines = [watch_line(event.type, with_version(event.new.data, form.stored, form.wanted)) for event in wanted]
            if len(self._joined) >= _JOINED:
                self._joined.clear()
            found = self._joined[cursor, form] = (cursor + len(events), b"".join(lines))
        return found

    def revision(self, cursor: int) -> int:
        """The revision of the event before a cursor that is in the ring."""
        return self._events[cursor - self._base - 1].rv if cursor > self._base else self.floor

    async def more(self, seconds: float) -> None:
        """Wait for the next event, at most that long."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _release, future)
        self._wake.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._wake.discard(future)


def _release(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class Rings:
    """One ring per resource, fed by the store."""

    def __init__(self, floor: int) -> None:
        self._floor = floor
        self._rings: dict[str, Ring] = {}

    def of(self, res: str) -> Ring:
        """The ring of `group/plural`."""
        found = self._rings.get(res)
        if found is None:
            found = self._rings[res] = Ring(self._floor)
        return found

    def publish(self, changes: list[Change]) -> None:
        """Take a committed batch and wake the watchers it concerns."""
        touched: set[str] = set()
        for change in changes:
            self.of(change.new.key.res).append(Event(change.new.rv, change.type, change.new, change.old))
            touched.add(change.new.key.res)
        for res in touched:
            self._rings[res].notify()

    def wake_all(self) -> None:
        """Wake every watcher, so that it sees that the server stops."""
        for ring in self._rings.values():
            ring.notify()
