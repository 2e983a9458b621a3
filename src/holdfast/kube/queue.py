"""The work queue: each key once, one worker per key, nothing forgotten.

A key that is added while it waits is not added twice; one that is added while a worker has it runs again afterwards.
Delays and backoffs sit in one heap behind one timer. Changes that someone just made (`URGENT`) go before the backlog of
a restart (`ROUTINE`), and a waiting key is moved up when a change comes in.
"""

import asyncio
import heapq
import random
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

URGENT: Final = 0
ROUTINE: Final = 1
FIRST_BACKOFF: Final = 0.05
LONGEST_BACKOFF: Final = 60.0
FAIR_SHARE: Final = 16
"""After so many urgent keys in a row one routine key has its turn."""

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys to work on. `clock` returns seconds and never goes back."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, jitter: float = 0.1):
        self._clock = clock
        self._jitter = jitter
        self._ready: tuple[OrderedDict[K, None], OrderedDict[K, None]] = (OrderedDict(), OrderedDict())
        self._running: dict[K, float] = {}
        self._dirty: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._streak = 0
        self._failures: dict[K, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def __len__(self) -> int:
        """The keys that could run now."""
        return len(self._ready[URGENT]) + len(self._ready[ROUTINE])

    @property
    def running(self) -> frozenset[K]:
        """The keys that a worker has."""
        return frozenset(self._running)

    def oldest(self) -> float:
        """Return for how many seconds the longest pass has been at work; 0 when none is."""
        return self._clock() - min(self._running.values()) if self._running else 0.0

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._due)

    def add(self, key: K, *, priority: int = URGENT) -> None:
        """Make a key ready, or mark it to run again if a worker has it."""
        if key in self._running:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
        elif key in self._ready[ROUTINE]:
            if priority == URGENT:
                del self._ready[ROUTINE][key]
                self._ready[URGENT][key] = None
        elif key not in self._ready[URGENT]:
            self._ready[priority][key] = None
            self._wake()

    def add_after(self, key: K, seconds: float) -> None:
        """Make a key ready after a delay. Of two delays for one key, the earlier holds."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._sequence += 1
            heapq.heappush(self._heap, (due, self._sequence, key))
            self._wake()

    def retry(self, key: K) -> float:
        """Make a key ready after its own backoff, which doubles with each failure. Return the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_BACKOFF * 2.0 ** min(failures, 20), LONGEST_BACKOFF) * (1 + random.uniform(0, self._jitter))
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Start the key's backoff anew, after a success."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often the key failed in a row."""
        return self._failures.get(key, 0)

    def take(self) -> K | None:
        """Hand out the next key, or None when none is ready. The caller must say `done`."""
        self._promote()
        urgent, routine = self._ready
        turn = bool(routine) and (not urgent or self._streak >= FAIR_SHARE)
        ready = routine if turn else urgent
        if not ready:
            return None
        self._streak = 0 if turn else self._streak + 1
        key, _ = ready.popitem(last=False)
        self._running[key] = self._clock()
        return key

    def done(self, key: K) -> None:
        """Give a key back; it becomes ready again if it was added meanwhile."""
        self._running.pop(key, None)
        if key in self._dirty:
            self.add(key, priority=self._dirty.pop(key))

    def next_due(self) -> float | None:
        """Return when the next delayed key becomes ready, on the queue's clock."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def get(self) -> K:
        """Wait for the next key. The caller must say `done`."""
        while (key := self.take()) is None:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            self._arm()
            try:
                await waiter
            except asyncio.CancelledError:
                self._withdraw(waiter)
                raise
        if len(self):
            self._wake_one()
        return key

    def _promote(self) -> None:
        now = self._clock()
        while (due := self.next_due()) is not None and due <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._due[key]
            self.add(key)

    def _withdraw(self, waiter: "asyncio.Future[None]") -> None:
        """A worker that leaves passes on the call it may have got, so that no ready key waits for nobody."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif len(self):
            self._wake_one()

    def _wake(self) -> None:
        if self._waiters:
            if len(self):
                self._wake_one()
            else:
                self._arm()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """Set the one timer to the earliest delay, while someone waits."""
        due = self.next_due()
        if due is None or (self._timer is not None and self._timer_at <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = asyncio.get_running_loop().call_later(max(0.0, due - self._clock()), self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        self._promote()
        if len(self):
            self._wake_one()
        if self._waiters:
            self._arm()
