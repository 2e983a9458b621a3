"""What a repository needs from the place it lives in.

A store is a flat set of immutable named objects: `config`, `keys/<id>`, `locks/<id>`, `snapshots/<id>`, `index/<id>`
and `data/<first two digits>/<id>`. Every store keeps three promises: `put` is atomic and durable when it returns, it never
replaces what exists with something else, and a name that `list` shows can be read. All calls block and may come from many
threads.
"""

from collections.abc import Iterator
from typing import Literal, Protocol, TypeAlias

import msgspec

Buffer: TypeAlias = bytes | bytearray | memoryview
"""Bytes in any of the forms that travel between threads and stores."""

Kind = Literal["data", "index", "keys", "locks", "snapshots"]
"""The folders of a repository."""

KINDS: tuple[Kind, ...] = ("data", "index", "keys", "locks", "snapshots")

CONFIG = "config"


class Entry(msgspec.Struct, frozen=True):
    """One object in a listing: its name without folders, and its size in bytes."""

    name: str
    size: int


class Store(Protocol):
    """The operations; see the module for the promises. Errors are the subclasses of `StoreError`."""

    @property
    def location(self) -> str:
        """Where it is, for people: never holds a credential."""
        ...

    def create(self) -> None:
        """Make the folders or check the bucket, so that `put` can work. Idempotent."""
        ...

    def put(self, path: str, data: Buffer) -> None:
        """Store `data` under `path`, durably. Raises ObjectExists when `path` exists with other content."""
        ...

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read an object, or `length` bytes of it from `offset`. Short objects raise ObjectNotFound's sibling Damaged."""
        ...

    def list(self, kind: Kind) -> Iterator[Entry]:
        """All objects of a folder, in no order. A folder that is missing is empty."""
        ...

    def size(self, path: str) -> int:
        """The size of an object in bytes."""
        ...

    def delete(self, path: str) -> None:
        """Remove an object. Raises ObjectNotFound when there is none."""
        ...

    def close(self) -> None:
        """Give back connections. The store is not used afterwards."""
        ...


def path_of(kind: Kind, name: str) -> str:
    """Where an object of a folder lives: packs are spread over 256 folders by their first two digits."""
    return f"data/{name[:2]}/{name}" if kind == "data" else f"{kind}/{name}"


def is_id(name: str) -> bool:
    """Whether a name is a storage id: 64 lower-case hexadecimal digits. Everything else in a store is not ours."""
    return len(name) == 64 and not name.strip("0123456789abcdef")
