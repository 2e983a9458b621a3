"""Limits on what a store may take: bytes a second each way, and operations side by side.

A rate is kept on average, shared by all threads of the store: each transfer gets the next free span of time, as long as its
bytes need at that rate, and returns no sooner than the end of its span. Within one request the bytes travel as fast as they
can, so over moments shorter than a pack the line may be busier. Locks of the repository are counted but never made to wait:
one that is refreshed too late would be lost.
"""

import contextlib
import threading
import time
from collections.abc import Callable

from holdfast.repo.store import Store
from holdfast.repo.stores.wrapped import Request, T, WrappedStore


class Rate:
    """Bytes a second, shared by threads. `clock` gives seconds, `pause` waits them."""

    def __init__(
        self,
        bytes_per_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        if bytes_per_second <= 0:
            raise ValueError(f"a rate of {bytes_per_second} bytes a second moves nothing: use a positive one")
        self._rate, self._clock, self._pause = bytes_per_second, clock, pause
        self._guard, self._free_at = threading.Lock(), 0.0

    def reserve(self, count: int) -> tuple[float, float]:
        """Take the next span that is free for `count` bytes: its begin and end on the clock."""
        with self._guard:
            start = max(self._free_at, self._clock())
            self._free_at = start + count / self._rate
            return start, self._free_at

    def wait_until(self, moment: float) -> None:
        """Wait for a moment on the clock."""
        left = moment - self._clock()
        if left > 0:
            self._pause(left)


class RateLimitedStore(WrappedStore):
    """Uploads and downloads at no more than the given rates; None is as fast as it goes."""

    def __init__(self, inner: Store, *, upload: Rate | None = None, download: Rate | None = None) -> None:
        super().__init__(inner)
        self._upload, self._download = upload, download

    def _around(self, request: Request, action: Callable[[], T]) -> T:
        if request.operation == "put" and self._upload is not None:
            start, end = self._upload.reserve(request.sends)
            if request.is_lock:
                return action()
            self._upload.wait_until(start)
            done = action()
            self._upload.wait_until(end)
            return done
        done = action()
        if isinstance(done, bytes) and self._download is not None:
            _, end = self._download.reserve(len(done))
            if not request.is_lock:
                self._download.wait_until(end)
        return done


class ConcurrencyLimitedStore(WrappedStore):
    """At most `connections` operations at once; the rest wait. Locks of the repository never wait."""

    def __init__(self, inner: Store, connections: int) -> None:
        super().__init__(inner)
        if connections < 1:
            raise ValueError(f"{connections} connections move nothing: use at least one")
        self._slots = threading.Semaphore(connections)

    def _around(self, request: Request, action: Callable[[], T]) -> T:
        with contextlib.nullcontext() if request.is_lock else self._slots:
            return action()
