"""A controller: keys in, one reconcile per key at a time, and what each outcome means.

| reconcile returns or raises | what happens to the key |
| --- | --- |
| None or Result() | rests until something changes; its backoff starts anew |
| Result(after=s) | runs again in s seconds at the latest |
| Conflict | runs again soon with backoff: the cache was behind; nothing is wrong |
| any other exception, or the time limit | is logged, runs again with backoff |

Reconcile is told a key and never an event: it reads the caches, compares, and acts.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

import msgspec

from holdfast.kube.errors import ApiError, Conflict
from holdfast.kube.informer import Informer
from holdfast.kube.objects import Key, Object
from holdfast.kube.queue import ROUTINE, URGENT, WorkQueue

TIME_LIMIT: Final = 300.0

_log = logging.getLogger(__name__)


class Result(msgspec.Struct, frozen=True):
    """What a reconcile asks for: to run again after so many seconds, or (None) only when something changes."""

    after: float | None = None


Reconcile = Callable[[Key], Awaitable[Result | None]]


class Stats(msgspec.Struct):
    """What a controller has done since it started."""

    passes: int = 0
    failures: int = 0
    seconds: float = 0.0


class Controller:
    """Runs `reconcile` for each key that its watches, its timers or a caller put on the queue."""

    def __init__(self, name: str, reconcile: Reconcile, *, workers: int = 8, time_limit: float = TIME_LIMIT):
        self.name = name
        self.stats = Stats()
        self.queue: WorkQueue[Key] = WorkQueue()
        self.informers: list[Informer] = []
        self._reconcile = reconcile
        self._workers = workers
        self._time_limit = time_limit

    def watches(self, informer: Informer, keys: Callable[[Object], Iterable[Key]]) -> None:
        """Enqueue `keys(obj)` for the old and the new state of each object that changes."""
        self.informers.append(informer)

        def changed(old: Object | None, new: Object | None) -> None:
            priority = ROUTINE if informer.listing else URGENT
            for obj in (old, new):
                for key in () if obj is None else keys(obj):
                    self.queue.add(key, priority=priority)

        informer.subscribe(changed)

    def enqueue(self, key: Key, *, after: float = 0) -> None:
        """Have a key reconciled now, or in `after` seconds at the latest."""
        self.queue.add_after(key, after)

    def oldest(self) -> float:
        """Return for how many seconds the longest pass has been at work; 0 when none is."""
        return self.queue.oldest()

    async def run(self) -> None:
        """Wait for the caches, then work until cancelled."""
        for informer in self.informers:
            await informer.synced()
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                await self._once(key)
            finally:
                self.queue.done(key)

    async def _once(self, key: Key) -> None:
        began = time.perf_counter()
        self.stats.passes += 1
        try:
            async with asyncio.timeout(self._time_limit):
                result = await self._reconcile(key)
        except Exception as error:
            self.stats.failures += 1
            self._report(key, error, self.queue.retry(key))
        else:
            self.queue.forget(key)
            if result is not None and result.after is not None:
                self.queue.add_after(key, result.after)
        finally:
            self.stats.seconds += time.perf_counter() - began

    def _report(self, key: Key, error: Exception, delay: float) -> None:
        where = "/".join(part for part in key if part)
        if isinstance(error, Conflict):
            _log.debug("%s %s: %s; again in %.2f s", self.name, where, error, delay)
        elif isinstance(error, ApiError):
            _log.warning("%s %s: %s; again in %.2f s", self.name, where, error, delay)
        else:
            _log.error(
                "%s %s: %s; again in %.2f s", self.name, where, str(error) or type(error).__name__, delay, exc_info=error
            )
