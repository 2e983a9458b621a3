"""A cache of one kind that follows the API server: list once, then watch, forever.

Whatever happens to the connection, the store converges to what the server holds: a broken watch goes on from the last
version seen, a version that is too old (410) lists again and works out what vanished meanwhile. Subscribers are told
after the store has changed, with the old and the new object; they learn states, never a complete history.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Final

from holdfast.kube.client import Client
from holdfast.kube.codec import WatchEvent, trim
from holdfast.kube.errors import ApiError, Forbidden, Gone, NotFound, TooManyRequests, Unauthorized, Unavailable
from holdfast.kube.objects import Key, Object, key_of, resource_version_of
from holdfast.kube.resource import Resource
from holdfast.kube.store import IndexFunction, Store

BACKOFF: Final = 0.1
BACKOFF_LIMIT: Final = 10.0
LACKING: Final = 30.0
"""Seconds between two looks for a kind that is not served."""
_SLICE: Final = 256
_SHORT: Final = 1.0

_log = logging.getLogger(__name__)

Subscriber = Callable[[Object | None, Object | None], None]
"""Called with (old, new): (None, obj) when it appeared, (obj, None) when it is gone."""

Trim = Callable[[Object], Object]
"""Reduces an object to what is worth caching; may change it in place."""


class Informer:
    """The objects of one resource, optionally of one namespace or selection, kept up to date by `run`."""

    def __init__(
        self,
        client: Client,
        res: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        trim: Trim | None = None,
        may_lack: bool = False,
        metadata_only: bool = False,
    ):
        """`may_lack`: the cluster may not serve this kind; then it has no objects, until it is served.

        `metadata_only`: the server sends nothing else of the objects, for kinds whose contents are not to be seen.
        """
        self.resource = res
        self.namespace = namespace
        self.trim = trim
        self.listing = False
        """Whether subscribers are being told about a (re)list rather than about a change that someone just made."""
        self.failure: Exception | None = None
        """Why the cache is behind right now, or None while list and watch work."""
        self._client, self._may_lack, self._metadata_only = client, may_lack, metadata_only
        self._labels, self._fields = label_selector, field_selector
        self._store = Store()
        self._subscribers: list[Subscriber] = []
        self._synced = asyncio.Event()
        self._version = ""
        self._failures = 0
        self._lacking = False

    def __repr__(self) -> str:
        return f"Informer({self.resource}, {len(self._store)} objects)"

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the object as last seen, or None. Do not change it."""
        return self._store.get((namespace, name))

    def all(self) -> Iterable[Object]:
        """Return all objects as last seen. Do not change them."""
        return self._store.all()

    def add_index(self, name: str, fn: IndexFunction) -> None:
        """Index the objects by what `fn` returns for each; the same function may be added twice."""
        self._store.add_index(name, fn)

    def by_index(self, name: str, value: str) -> list[Object]:
        """Return the objects that the index files under `value`."""
        return self._store.by_index(name, value)

    def subscribe(self, fn: Subscriber) -> None:
        """Call `fn(old, new)` after each change; for what is here already, call it now."""
        self._subscribers.append(fn)
        for obj in self._store.all():
            self._call(fn, None, obj)

    async def synced(self) -> None:
        """Wait until the first list is in the store."""
        await self._synced.wait()

    @property
    def has_synced(self) -> bool:
        """Whether the first list is in the store."""
        return self._synced.is_set()

    async def run(self) -> None:
        """List and watch until cancelled; no failure of the server ends it."""
        while True:
            try:
                if not self._version:
                    await self._relist()
                await self._watch()
            except (ApiError, ValueError, OSError) as error:
                await self._back_off(error)

    async def _relist(self) -> None:
        pages = self._client.pages(
            self.resource,
            self.namespace or None,
            label_selector=self._labels,
            field_selector=self._fields,
            metadata_only=self._metadata_only,
        )
        present: set[Key] = set()
        version = ""
        self.listing = True
        try:
            async with aclosing(pages):
                async for page in pages:
                    if page.first:
                        present.clear()
                    version = page.resource_version
                    await self._take_page(page.items, present)
            for key in self._store.keys_except(present):
                self._drop(key)
        finally:
            self.listing = False
        self._version = version
        self._lacking = False
        self._synced.set()

    async def _take_page(self, objects: list[Object], present: set[Key]) -> None:
        """Put one page into the store; each object goes as soon as it is packed there."""
        for number in range(1, len(objects) + 1):
            obj = objects.pop()
            present.add(key_of(obj))
            self._put(obj)
            if number % _SLICE == 0:
                await asyncio.sleep(0)

    async def _watch(self) -> None:
        """Follow one watch to its end. One that ends at once without an event counts as a failure, lest we spin."""
        began, seen = time.monotonic(), False
        events = self._client.watch(
            self.resource,
            self.namespace or None,
            resource_version=self._version,
            label_selector=self._labels,
            field_selector=self._fields,
            opened=self._recovered,
            metadata_only=self._metadata_only,
        )
        async with aclosing(events):
            async for event in events:
                self._take(event)
                self._failures, seen = 0, True
        if seen or time.monotonic() - began > _SHORT:
            self._failures = 0
        else:
            await self._pause()

    def _take(self, event: WatchEvent) -> None:
        if event.type in ("ADDED", "MODIFIED"):
            self._put(event.object)
        elif event.type == "DELETED":
            self._drop(key_of(event.object))
        self._version = resource_version_of(event.object) or self._version

    def _put(self, obj: Object) -> None:
        trim(obj)
        if self.trim is not None:
            obj = self.trim(obj)
        old = self._store.put(obj)
        if old is not None and resource_version_of(old) == resource_version_of(obj) != "":
            return
        for subscriber in self._subscribers:
            self._call(subscriber, old, obj)

    def _drop(self, key: Key) -> None:
        old = self._store.drop(key)
        if old is not None:
            for subscriber in self._subscribers:
                self._call(subscriber, old, None)

    def _call(self, subscriber: Subscriber, old: Object | None, new: Object | None) -> None:
        try:
            subscriber(old, new)
        except Exception:
            _log.exception("%s: a subscriber failed on %s", self.resource, key_of(new or old or {"metadata": {"name": "?"}}))

    def _recovered(self) -> None:
        if self.failure is not None:
            _log.info("%s: list and watch work again", self.resource)
        self.failure = None

    async def _back_off(self, error: Exception) -> None:
        """Wait longer after each failure in a row. Only an answer that leaves the version good keeps it."""
        if not _keeps_version(error):
            self._version = ""
        if self._may_lack and isinstance(error, NotFound):
            await self._do_without()
            return
        if isinstance(error, Gone):
            _log.debug("%s: the watch is too far behind; listing again", self.resource)
        elif self.failure is None or str(self.failure) != str(error):
            _log.warning("cannot follow %s: %s%s", self.resource, error, _hint(error, self.resource))
        if not isinstance(error, Gone):
            self.failure = error
        await self._pause(getattr(error, "retry_after", None) or 0.0, at_once=isinstance(error, Gone))

    async def _do_without(self) -> None:
        """Hold nothing while the kind is not served, and look rarely whether it is."""
        present: set[Key] = set()
        for key in self._store.keys_except(present):
            self._drop(key)
        if not self._lacking:
            _log.info("%s is not served here: it counts as having no objects", self.resource)
        self._lacking = True
        self._synced.set()
        await asyncio.sleep(LACKING)

    async def _pause(self, at_least: float = 0.0, *, at_once: bool = False) -> None:
        """Sleep before the next try; `at_once` spares the first failure in a row."""
        self._failures += 1
        if self._failures > 1 or not at_once:
            await asyncio.sleep(max(at_least, _delay(self._failures)))


def _keeps_version(error: Exception) -> bool:
    if isinstance(error, Unavailable):
        return error.status in (0, 502, 503)
    return isinstance(error, (TooManyRequests, Unauthorized))


def _delay(failures: int) -> float:
    return min(BACKOFF * 2 ** min(failures - 1, 10), BACKOFF_LIMIT) * random.uniform(0.5, 1.0)


def _hint(error: Exception, res: Resource) -> str:
    if isinstance(error, Forbidden):
        return f" (give our service account the verbs list and watch on {res})"
    if isinstance(error, NotFound):
        return f" (is the CustomResourceDefinition of {res.kind} installed?)"
    return ""
