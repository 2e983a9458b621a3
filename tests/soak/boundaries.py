"""A store whose every call has two boundaries, before and after its effect: the places where a crash is tried."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

from holdfast.repo.store import Buffer, Entry, Kind, Store

T = TypeVar("T")


class BoundaryStore:
    """Calls `at(label)` before and after each operation, for instance `before put data`; `name` tells stores apart."""

    def __init__(self, inner: Store, at: Callable[[str], None], name: str = "") -> None:
        self._inner, self._at = inner, at
        self._name = f" of {name}" if name else ""

    @property
    def location(self) -> str:
        return self._inner.location

    def _do(self, operation: str, path: str, action: Callable[[], T]) -> T:
        label = f"{operation} {path.partition('/')[0]}{self._name}"
        self._at(f"before {label}")
        result = action()
        self._at(f"after {label}")
        return result

    def create(self) -> None:
        self._do("create", "", self._inner.create)

    def put(self, path: str, data: Buffer) -> None:
        self._do("put", path, lambda: self._inner.put(path, data))

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._do("get", path, lambda: self._inner.get(path, offset, length))

    def list(self, kind: Kind) -> Iterator[Entry]:
        return iter(self._do("list", kind, lambda: [*self._inner.list(kind)]))

    def size(self, path: str) -> int:
        return self._do("size", path, lambda: self._inner.size(path))

    def delete(self, path: str) -> None:
        self._do("delete", path, lambda: self._inner.delete(path))

    def close(self) -> None:
        self._inner.close()


class Visits:
    """Counts boundaries by label; at the given occurrence of one label it calls `act`, once."""

    def __init__(self, label: str, occurrence: int, act: Callable[[], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._label, self._occurrence, self._act = label, occurrence, act
        self._mutex = threading.Lock()

    def __call__(self, label: str) -> None:
        with self._mutex:
            self.counts[label] += 1
            hit = label == self._label and self.counts[label] == self._occurrence
        if hit:
            self._act()
