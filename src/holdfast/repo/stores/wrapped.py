"""What all stores around stores share: every operation passes through one method, `_around`.

The order in which `open_store` puts them: retries outermost, so that a pause holds no slot; then the limits; then the
measure, which so counts each attempt.
"""

import datetime
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import msgspec

from holdfast.repo.store import Buffer, Entry, Kind, Store

Operation = Literal["create", "put", "get", "list", "size", "delete"]
T = TypeVar("T")


class Request(msgspec.Struct, frozen=True):
    """One operation: on which object or folder, and how many bytes it sends."""

    operation: Operation
    path: str = ""
    sends: int = 0

    @property
    def is_lock(self) -> bool:
        """Whether it is about a lock of the repository: those are small, and late ones are lost ones."""
        return self.path.startswith("locks")


class WrappedStore:
    """A store that does what the inner one does; subclasses override `_around`."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner

    @property
    def inner(self) -> Store:
        """The store inside."""
        return self._inner

    def _around(self, request: Request, action: Callable[[], T]) -> T:
        """Carry out one operation. `action` may be called more than once, or not at all."""
        return action()

    @property
    def location(self) -> str:
        """The inner store's."""
        return self._inner.location

    def create(self) -> None:
        """See Store."""
        self._around(Request("create"), self._inner.create)

    def put(self, path: str, data: Buffer) -> None:
        """See Store."""
        self._around(Request("put", path, memoryview(data).nbytes), lambda: self._inner.put(path, data))

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See Store."""
        return self._around(Request("get", path), lambda: self._inner.get(path, offset, length))

    def list(self, kind: Kind) -> Iterator[Entry]:
        """See Store. The listing is taken whole, so that a repeat gives no entry twice."""
        return iter(self._around(Request("list", kind), lambda: list(self._inner.list(kind))))

    def size(self, path: str) -> int:
        """See Store."""
        return self._around(Request("size", path), lambda: self._inner.size(path))

    def delete(self, path: str) -> None:
        """See Store."""
        self._around(Request("delete", path), lambda: self._inner.delete(path))

    def close(self) -> None:
        """See Store."""
        self._inner.close()


class RetainingStore(WrappedStore, ABC):
    """A store that keeps what is written until a date, whoever asks to delete it."""

    @abstractmethod
    def until(self, since: datetime.datetime | None = None) -> datetime.datetime:
        """Until when an object is kept that is written at `since`, or now."""

    @abstractmethod
    def retain(self, path: str, until: datetime.datetime) -> bool:
        """Keep an object at least until `until`. Returns whether its date had to be moved. Raises ObjectNotFound."""

    @abstractmethod
    def retained_until(self, path: str) -> datetime.datetime | None:
        """Until when an object is kept; None when it is free. Raises ObjectNotFound."""

    @abstractmethod
    def recover(self) -> list[str]:
        """Bring back every retained object that was hidden by a delete or an overwrite; returns their paths."""


S = TypeVar("S")


def find_inner(store: Store, kind: type[S]) -> S | None:
    """The store of a class inside of a store, or that store itself; None when there is none."""
    while not isinstance(store, kind):
        if not isinstance(store, WrappedStore):
            return None
        store = store.inner
    return store
