"""The files of one batch of a restore, as columns.

Most files of a snapshot are plain: one name, an owner, a mode, a time, some blobs. The native module reads those of a whole
folder as rows (`Entries`), and no object is made for any of them; what a file is called is asked for only when something went
wrong with it. All others are a `FileTarget` each: on the pure path every file, and files with hard links, attributes or names
of many signs. A batch has the rows first, folder by folder, and then the others.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from types import ModuleType

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.repo.errors import Damaged
from holdfast.repo.target import Folder
from holdfast.repo.tree import Node

Table = NDArray[np.void]

FILES = np.dtype(
    [("size", "i8"), ("seconds", "i8"), ("device", "u8"), ("inode", "u8")]
    + [("nanoseconds", "u4"), ("folder", "i4"), ("name", "u4")]
    + [(name, "u4") for name in ("mode", "uid", "gid", "flags", "unused")]
)
"""A file as `struct file` of `native/files.h` has it; `name` is where in the names its own begins, which ends with a NUL."""

_LARGEST = (1 << 63) - 1


class FileTarget(msgspec.Struct, gc=False):
    """A regular file to restore, in a folder that stays open until its batch is done."""

    folder: Folder
    name: str
    node: Node
    failed: bool = False
    """Set once anything of it went wrong; nothing more is done to it then."""

    @property
    def path(self) -> str:
        """The path in the file system, for people."""
        return f"{self.folder.path}/{self.name}"


class Entries(msgspec.Struct, frozen=True):
    """Plain files of one folder: their rows, their names, how many blobs each has, and the ids of all those."""

    rows: Table
    names: bytes
    counts: NDArray[np.uint32]
    ids: Table

    def cut(self, files: int, blobs: int) -> "tuple[Entries, Entries]":
        """The first of them, at most so many with so many blobs, but at least one; and the rest."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        at = max(1, min(files, int(np.searchsorted(ends, blobs, "right"))))
        if at >= len(self.rows):
            return self, Entries(self.rows[:0], b"", self.counts[:0], self.ids[:0])
        name, ident = int(self.rows["name"][at]), int(ends[at - 1])
        rest = self.rows[at:].copy()
        rest["name"] -= name
        return (
            Entries(self.rows[:at], self.names[:name], self.counts[:at], self.ids[:ident]),
            Entries(rest, self.names[name:], self.counts[at:], self.ids[ident:]),
        )


def read_entries(module: ModuleType, tree: bytes) -> tuple[Entries, bytes] | None:
    """The plain files of a tree, and a tree of its other entries or nothing; None for one that `decode_tree` has to read."""
    found: tuple[bytes, bytes, bytes, bytes, bytes] | None = module.tree_files(tree)
    if found is None:
        return None
    rows, names, ids, counts, rest = found
    return Entries(np.frombuffer(rows, FILES), names, np.frombuffer(counts, np.uint32), np.frombuffer(ids, "V32")), rest


class Gathered(Sequence[FileTarget]):
    """The files of a batch. As a sequence it gives each as a FileTarget, which is always the same for one number."""

    def __init__(self) -> None:
        self._parts: list[tuple[Folder, Entries]] = []
        self._begins: list[int] = []
        self._made: dict[int, FileTarget] = {}
        self.plain = 0
        """How many of the files are rows: these are the first."""
        self.others: list[FileTarget] = []
        """The rest, in their order."""

    def add(self, folder: Folder, entries: Entries) -> None:
        """Take plain files. All of these come before the first call of anything below."""
        self._begins.append(self.plain)
        self._parts.append((folder, entries))
        self.plain += len(entries.rows)

    def __len__(self) -> int:
        return self.plain + len(self.others)

    def __getitem__(self, number: int) -> FileTarget:  # type: ignore[override]
        if number >= self.plain:
            return self.others[number - self.plain]
        file = self._made.get(number)
        if file is None:
            at = int(np.searchsorted(self._begins, number, "right")) - 1
            folder, entries = self._parts[at]
            row = entries.rows[number - self._begins[at]]
            name = entries.names[int(row["name"]) :].split(b"\0", 1)[0].decode()
            file = self._made.setdefault(number, FileTarget(folder, name, Node(name, "file", size=int(row["size"]))))
        return file

    def failed(self) -> NDArray[np.bool_]:
        """Which files have failed."""
        failed = np.zeros(len(self), np.bool_)
        failed[self.plain :] = [file.failed for file in self.others]
        for number, file in tuple(self._made.items()):
            failed[number] = file.failed
        return failed

    def special(self) -> NDArray[np.bool_]:
        """Which files have extended attributes."""
        special = np.zeros(len(self), np.bool_)
        special[self.plain :] = [bool(file.node.extended_attributes) for file in self.others]
        return special

    def sizes(self) -> NDArray[np.int64]:
        """The size of each file in bytes as its entry says; what no file can have is some other impossible size."""
        others = [min(max(file.node.size, -1), _LARGEST) for file in self.others]
        return np.concatenate([*(entries.rows["size"] for _, entries in self._parts), np.array(others, np.int64)])

    def ids(self, fail: Callable[[FileTarget, Damaged], None]) -> tuple[NDArray[np.int64], Table]:
        """How many blobs each file has, and the ids of all. A file whose list can't be read is failed, and has none."""
        counts, ids = _ids_of(self.others, fail)
        plain = [entries.counts for _, entries in self._parts]
        return np.concatenate([*plain, counts]).astype(np.int64), np.concatenate([*(part.ids for _, part in self._parts), ids])

    def rows(self) -> tuple[Table, bytes]:
        """The rows of the plain files with the descriptors of their folders, and empty ones for the others; and all names."""
        table = np.zeros(len(self), FILES)
        texts: list[bytes] = []
        used = 0
        for begin, (folder, entries) in zip(self._begins, self._parts, strict=True):
            part = table[begin : begin + len(entries.rows)]
            part[:] = entries.rows
            part["name"] += used
            part["folder"] = folder.handle
            texts.append(entries.names)
            used += len(entries.names)
        return table, b"".join(texts)


def _ids_of(files: Sequence[FileTarget], fail: Callable[[FileTarget, Damaged], None]) -> tuple[NDArray[np.int64], Table]:
    lists = [file.node.content or () for file in files]
    text = "".join(chain.from_iterable(lists))
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    raw = _from_hex(text)
    if len(raw) != 32 * int(counts.sum()) or len(text) != 2 * len(raw):
        good = [[ident for ident in found if len(ident) == 64 and len(_from_hex(ident)) == 32] for found in lists]
        for file, found, kept in zip(files, lists, good, strict=True):
            if len(found) != len(kept):
                fail(file, Damaged("its list of blobs is not readable"))
        lists = [() if file.failed else kept for file, kept in zip(files, good, strict=True)]
        raw = _from_hex("".join(chain.from_iterable(lists)))
        counts = np.fromiter(map(len, lists), np.int64, len(lists))
    return counts, np.frombuffer(raw, "V32")


def _from_hex(text: str) -> bytes:
    """The bytes; empty for what is no plain hexadecimal text."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
