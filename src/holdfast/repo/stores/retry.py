"""A store that tries again.

Only faults that may pass (`StoreUnavailable`) are tried again, with growing and jittered pauses, or after as long as the
service asked for. All operations of a repository are safe to repeat: names are hashes, so a `put` whose answer was lost meets
its own object, and a `delete` whose answer was lost finds nothing.
"""

import random
import time
from collections.abc import Callable

from holdfast.repo.errors import ObjectExists, ObjectNotFound, StoreUnavailable
from holdfast.repo.store import CONFIG, Buffer, Store
from holdfast.repo.stores.wrapped import Request, T, WrappedStore

ATTEMPTS = 6
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0
LONGEST_ASKED = 60.0
"""The longest pause in seconds that a service's Retry-After gets: past it a person should know."""


def pause_before(attempt: int, asked: float | None) -> float:
    """Seconds to wait before trying again after the `attempt`-th failure (from 1); `asked`: the service's own wish."""
    limit = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
    jittered = random.uniform(limit / 2, limit)
    return jittered if asked is None else max(jittered, min(asked, LONGEST_ASKED))


class RetryingStore(WrappedStore):
    """Repeats what failed for a passing reason; `pause` waits the given seconds."""

    def __init__(self, inner: Store, *, attempts: int = ATTEMPTS, pause: Callable[[float], None] = time.sleep) -> None:
        super().__init__(inner)
        self._attempts, self._pause = attempts, pause

    def _around(self, request: Request, action: Callable[[], T]) -> T:
        for attempt in range(1, self._attempts):
            try:
                return action()
            except StoreUnavailable as error:
                self._pause(pause_before(attempt, error.retry_after))
        try:
            return action()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error} (tried {self._attempts} times)", retry_after=error.retry_after) from error

    def put(self, path: str, data: Buffer) -> None:
        """See Store. An object that a lost attempt of ours left counts as stored."""
        repeated = False

        def once() -> None:
            nonlocal repeated
            try:
                self._inner.put(path, data)
            except StoreUnavailable:
                repeated = True
                raise
            except ObjectExists:
                if not repeated or path != CONFIG or self._inner.get(path) != bytes(data):
                    raise

        self._around(Request("put", path, memoryview(data).nbytes), once)

    def delete(self, path: str) -> None:
        """See Store. Not finding what a lost attempt of ours removed is success."""
        repeated = False

        def once() -> None:
            nonlocal repeated
            try:
                self._inner.delete(path)
            except StoreUnavailable:
                repeated = True
                raise
            except ObjectNotFound:
                if not repeated:
                    raise

        self._around(Request("delete", path), once)
