"""Stores around stores: one that tries again, one that fails on purpose.

Only faults that may pass (`StoreUnavailable`) are tried again, with growing and jittered pauses. All operations of a
repository are safe to repeat: names are hashes, so a `put` whose answer was lost meets its own object, and a `delete`
whose answer was lost finds nothing.
"""

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from holdfast.repo.errors import ObjectExists, ObjectNotFound, StoreUnavailable
from holdfast.repo.store import CONFIG, Buffer, Entry, Kind, Store

ATTEMPTS = 6
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0

T = TypeVar("T")


class RetryingStore:
    """Repeats what failed for a passing reason; `pause` waits the given seconds."""

    def __init__(self, inner: Store, *, attempts: int = ATTEMPTS, pause: Callable[[float], None] = time.sleep) -> None:
        self._inner, self._attempts, self._pause = inner, attempts, pause

    @property
    def location(self) -> str:
        """The inner store's."""
        return self._inner.location

    def _try(self, action: Callable[[], T]) -> T:
        for attempt in range(1, self._attempts):
            try:
                return action()
            except StoreUnavailable:
                limit = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
                self._pause(random.uniform(limit / 2, limit))
        try:
            return action()
        except StoreUnavailable as error:
            raise StoreUnavailable(f"{error} (tried {self._attempts} times)") from error

    def create(self) -> None:
        """See Store."""
        self._try(self._inner.create)

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

        self._try(once)

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See Store."""
        return self._try(lambda: self._inner.get(path, offset, length))

    def list(self, kind: Kind) -> Iterator[Entry]:
        """See Store. The listing is taken whole, so that a repeat gives no entry twice."""
        return iter(self._try(lambda: list(self._inner.list(kind))))

    def size(self, path: str) -> int:
        """See Store."""
        return self._try(lambda: self._inner.size(path))

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

        self._try(once)

    def close(self) -> None:
        """See Store."""
        self._inner.close()


class FaultyStore:
    """Calls `fault(operation, path)` before each operation: what it raises is the operation's outcome. For tests."""

    def __init__(self, inner: Store, fault: Callable[[str, str], None]) -> None:
        self._inner, self._fault = inner, fault

    @property
    def location(self) -> str:
        """The inner store's."""
        return self._inner.location

    def create(self) -> None:
        """See Store."""
        self._fault("create", "")
        self._inner.create()

    def put(self, path: str, data: Buffer) -> None:
        """See Store."""
        self._fault("put", path)
        self._inner.put(path, data)

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See Store."""
        self._fault("get", path)
        return self._inner.get(path, offset, length)

    def list(self, kind: Kind) -> Iterator[Entry]:
        """See Store."""
        self._fault("list", kind)
        return self._inner.list(kind)

    def size(self, path: str) -> int:
        """See Store."""
        self._fault("size", path)
        return self._inner.size(path)

    def delete(self, path: str) -> None:
        """See Store."""
        self._fault("delete", path)
        self._inner.delete(path)

    def close(self) -> None:
        """See Store."""
        self._inner.close()
