"""What a command needs from where files lie, and what every such place promises.

A file appears under its name whole or not at all, and replaces an older one of that name in one step. Paths are clean (see
`paths`). Everything blocks.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

BLOCK = 1 << 20
"""Bytes that are held at once of a stream."""


class Item(msgspec.Struct, frozen=True):
    """A file or folder: `path` from the root of the place, `size` in bytes (0 for folders), `modified` in Unix seconds."""

    path: str
    size: int
    modified: float
    is_folder: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Place(Protocol):
    """Where files lie. Every method raises DatasafedError; those that need something there raise NotThere."""

    def write(self, path: str, blocks: Iterable[bytes], size: int | None = None) -> None:
        """Store a stream under a name. `size` is its length where that is known before."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """Return the content of a file."""
        ...

    def find(self, path: str) -> Item | None:
        """Return a file; None when there is none of that name."""
        ...

    def list(self, path: str, *, recursive: bool = False) -> Iterator[Item]:
        """Return what lies in a folder, in any order."""
        ...

    def delete(self, path: str) -> None:
        """Delete a file; no error when there is none."""
        ...

    def delete_tree(self, path: str) -> None:
        """Delete a folder with all that it holds; no error when there is none."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder, with those above it."""
        ...

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder; one that is not empty is an error."""
        ...
