"""The files of a batch by the native module: the same work as `files.PureFiles`, in few calls and outside the interpreter lock.

The tables below have the layouts of the structs in `native/files.c`. What has extended attributes is rare, and is finished by
the pure path. The time of each file is parsed natively too.
"""

import os
import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np

from holdfast.repo.errors import Damaged
from holdfast.repo.files import FileTarget, Outcome, Piece, PureFiles
from holdfast.repo.native import native_key
from holdfast.repo.pack import PackEntry
from holdfast.repo.repository import Repository
from holdfast.repo.tree import permissions_of

_FILE = np.dtype(
    [("size", "i8"), ("seconds", "i8"), ("device", "u8"), ("inode", "u8")]
    + [("nanoseconds", "u4"), ("folder", "i4"), ("name", "u4")]
    + [(name, "u4") for name in ("mode", "uid", "gid", "flags", "unused")]
)
_PIECE = struct.Struct("=6I32s")
_PLACE = struct.Struct("=IIq")
_PART = struct.Struct("=Q32s")
_SPAN = struct.Struct("=III")
_PLAIN, _FAILED = 1, 2


class NativeFiles:
    """The work on one batch; its folders must stay open until it is done."""

    def __init__(
        self, module: ModuleType, repo: Repository, outcome: Outcome, files: list[FileTarget], *, sparse: bool
    ) -> None:
        self._module, self._repo, self._outcome, self._files, self._sparse = module, repo, outcome, files, sparse
        self._key: Any = native_key(repo.key)
        self._pure = PureFiles(repo, outcome, sparse=sparse)
        self._must_own = os.geteuid() == 0
        names = [os.fsencode(file.name) for file in files]
        self._names = b"\0".join(names) + b"\0"
        self._table = np.zeros(len(files), _FILE)
        if files:
            self._fill_table(files, names)

    def _fill_table(self, files: list[FileTarget], names: list[bytes]) -> None:
        table, nodes = self._table, [file.node for file in files]
        moments = np.frombuffer(self._module.times_parse([node.mtime for node in nodes]), np.int64).reshape(-1, 2)
        table["seconds"] = moments[:, 0]
        table["nanoseconds"] = np.maximum(moments[:, 1], 0)
        table["name"] = list(accumulate((len(name) + 1 for name in names[:-1]), initial=0))
        table["folder"] = [file.folder.handle for file in files]
        table["size"] = [file.size for file in files]
        table["mode"] = [permissions_of(node.mode) for node in nodes]
        table["uid"] = [node.uid & 0xFFFFFFFF for node in nodes]
        table["gid"] = [node.gid & 0xFFFFFFFF for node in nodes]
        table["flags"] = [(_FAILED if file.failed else 0) | (0 if file.node.extended_attributes else _PLAIN) for file in files]
        for row in np.flatnonzero(moments[:, 1] < 0).tolist():
            self._fail(row, Damaged(f"its time {files[row].node.mtime!r} is not readable"))

    def _fail(self, row: int, error: BaseException) -> None:
        self._table["flags"][row] |= _FAILED
        self._outcome.fail(self._files[row], error)

    def _take(self, result: tuple[list[tuple[int, int, int, str]], int, int, int], pieces: Sequence[Piece] = ()) -> None:
        faults, files, size, unowned = result
        for row, number, code, what in faults:
            if number >= 0:
                what = self._name(pieces[number], what)
            self._fail(row, OSError(code, f"{what}: {os.strerror(code)}") if code else Damaged(what))
        self._outcome.done(files, size)
        if unowned:
            self._outcome.unowned(unowned)

    def _name(self, piece: Piece, what: str) -> str:
        return f"{self._repo.store.location}: blob {piece.ident.hex()[:12]} in pack {piece.at.pack.hex()[:12]}: {what}"

    def make(self, files: Sequence[FileTarget]) -> None:
        """See Files."""
        if files:
            self._take(self._module.files_make(self._table, self._names, _rows(files), self._must_own))

    def fill(self, data: memoryview, start: int, pieces: Sequence[Piece]) -> None:
        """See Files."""
        places: list[bytes] = []
        rows: list[bytes] = []
        for piece in pieces:
            at = piece.at
            rows.append(
                _PIECE.pack(at.offset - start, at.length, at.raw_length, len(places), len(piece.places), 0, piece.ident)
            )
            places += [_PLACE.pack(file.row, whole, offset) for file, offset, whole in piece.places]
        result = self._module.files_fill(
            self._key, data, b"".join(rows), b"".join(places), self._table, self._names, self._sparse, self._must_own
        )
        self._take(result, pieces)

    def finish(self, files: Sequence[FileTarget]) -> None:
        """See Files."""
        plain = [file for file in files if not file.node.extended_attributes]
        if plain:
            self._take(self._module.files_finish(self._table, self._names, _rows(plain), self._must_own))
        special = [file for file in files if file.node.extended_attributes]
        for file in special:
            file.identity = int(self._table["device"][file.row]), int(self._table["inode"][file.row])
        self._pure.finish(special)

    def verify(self, files: Sequence[FileTarget]) -> None:
        """See Files."""
        spans: list[bytes] = []
        parts: list[bytes] = []
        for file in files:
            spans.append(_SPAN.pack(file.row, len(parts), len(file.ids)))
            parts += [_PART.pack(length, ident) for ident, length in zip(file.ids, file.lengths, strict=True)]
        faults, count, size, _ = self._module.files_verify(self._table, self._names, b"".join(spans), b"".join(parts))
        self._take((faults, 0, 0, 0))
        self._outcome.verified(count, size)


def _rows(files: Iterable[FileTarget]) -> bytes:
    return np.array([file.row for file in files], np.uint32).tobytes()


def check_blobs(
    module: ModuleType, key: Any, data: memoryview, start: int, entries: Sequence[PackEntry]
) -> list[tuple[int, str]]:
    """The blobs of a range of a pack that do not open to what their ids say, as their place in `entries` and the reason."""
    rows = [_PIECE.pack(entry.offset - start, entry.length, entry.raw_length, 0, 0, 0, entry.id) for entry in entries]
    return [(row, what) for row, _, _, what in module.blobs_check(key, data, b"".join(rows))]
