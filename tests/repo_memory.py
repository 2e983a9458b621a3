"""A store in memory, for series that try thousands of damaged or interrupted repositories."""

import threading
from collections.abc import Iterator
from typing import Self

from holdfast.repo.errors import Damaged, ObjectExists, ObjectNotFound
from holdfast.repo.store import Buffer, Entry, Kind


class MemoryStore:
    """Objects by path. `clone` gives an independent copy in no time."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = dict(objects or {})
        self._mutex = threading.Lock()

    def clone(self) -> Self:
        return type(self)(self.objects)

    @property
    def location(self) -> str:
        return "memory"

    def create(self) -> None: ...

    def put(self, path: str, data: Buffer) -> None:
        with self._mutex:
            held = self.objects.setdefault(path, bytes(data))
        if held != bytes(data):
            raise ObjectExists(f"{path} exists")

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._held(path)
        end = len(data) if length is None else offset + length
        if offset < 0 or not offset <= end <= len(data):
            raise Damaged(f"{path} has {len(data)} bytes, not those from {offset} to {end}")
        return data[offset:end]

    def list(self, kind: Kind) -> Iterator[Entry]:
        for path, data in list(self.objects.items()):
            if path.startswith(f"{kind}/"):
                yield Entry(path.rpartition("/")[2], len(data))

    def size(self, path: str) -> int:
        return len(self._held(path))

    def delete(self, path: str) -> None:
        with self._mutex:
            self._held(path)
            del self.objects[path]

    def close(self) -> None: ...

    def _held(self, path: str) -> bytes:
        try:
            return self.objects[path]
        except KeyError:
            raise ObjectNotFound(f"there is no {path}") from None
