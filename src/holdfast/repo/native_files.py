"""The files of a batch by the native module: the same work as `files.PureFiles`, in few calls and outside the interpreter lock.

A file that one blob fills is read back while the blob is at hand, through the descriptor that wrote it, and compared byte by
byte. What has extended attributes is rare, and is finished by the pure path. Times are parsed natively too.
"""

import os
from collections.abc import Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np

from holdfast.repo.crypto import native_key
from holdfast.repo.errors import Damaged
from holdfast.repo.files import Outcome, PureFiles
from holdfast.repo.gathered import FileTarget
from holdfast.repo.pack import PackEntry
from holdfast.repo.plan import PIECES, Plan, Read, Rows
from holdfast.repo.privileges import CHOWN, holds
from holdfast.repo.repository import Repository, blob_fault
from holdfast.repo.tree import permissions_of

_Result: TypeAlias = tuple[list[tuple[int, int, int, str]], int, int, int, int, int]
_PLAIN, _FAILED = 1, 2


class NativeFiles:
    """The work on one plan; its folders must stay open until it is done."""

    def __init__(
        self, module: ModuleType, repo: Repository, outcome: Outcome, plan: Plan, *, sparse: bool, verify: bool
    ) -> None:
        self._module, self._repo, self._outcome, self._plan, self._sparse = module, repo, outcome, plan, sparse
        self._checks = verify
        self._key: Any = native_key(repo.key)
        self._pure = PureFiles(repo, outcome, plan, sparse=sparse, verify=verify)
        self._must_own = holds(CHOWN)
        self._has_more = plan.files.special()
        self._table, self._names = plan.files.rows()
        self._table["size"] = plan.sizes
        self._table["flags"] |= np.where(plan.files.failed(), _FAILED, 0).astype(np.uint32)
        if plan.files.others:
            self._add_others(plan.files.others)

    def _add_others(self, files: Sequence[FileTarget]) -> None:
        """Fill the rows of the files that did not come as rows."""
        nodes = [file.node for file in files]
        names = [os.fsencode(file.name) for file in files]
        first = self._plan.files.plain
        table = self._table[first:]
        moments = np.frombuffer(self._module.times_parse([node.mtime for node in nodes]), np.int64).reshape(-1, 2)
        table["seconds"] = moments[:, 0]
        table["nanoseconds"] = np.maximum(moments[:, 1], 0)
        table["name"] = list(accumulate((len(name) + 1 for name in names[:-1]), initial=len(self._names)))
        table["folder"] = [file.folder.handle for file in files]
        table["mode"] = [permissions_of(node.mode) for node in nodes]
        table["uid"] = [node.uid for node in nodes]
        table["gid"] = [node.gid for node in nodes]
        table["flags"] |= np.where(self._has_more[first:], 0, _PLAIN).astype(np.uint32)
        self._names += b"\0".join(names) + b"\0"
        for row in np.flatnonzero(moments[:, 1] < 0).tolist():
            self._fail(first + row, Damaged(f"its time {nodes[row].mtime!r} is not readable"))

    def _fail(self, row: int, error: BaseException) -> None:
        self._table["flags"][row] |= _FAILED
        self._outcome.fail(self._plan.files[row], error)

    def _take(self, result: _Result, read: Read | None = None) -> None:
        faults, files, size, unowned, verified, verified_size = result
        for row, piece, code, what in faults:
            if piece >= 0 and read is not None:
                ident, at = self._plan.location(read.first + piece, read.pack)
                what = blob_fault(self._repo, ident, at, what)
            self._fail(row, OSError(code, f"{what}: {os.strerror(code)}") if code else Damaged(what))
        self._outcome.done(files, size)
        if verified:
            self._outcome.verified(verified, verified_size)
        if unowned:
            self._outcome.unowned(unowned)

    def make(self, rows: Rows) -> None:
        """See Files."""
        if len(rows):
            self._take(self._module.files_make(self._table, self._names, rows, self._must_own))

    def fill(self, data: memoryview, read: Read) -> None:
        """See Files."""
        pieces = self._plan.pieces[read.first : read.last].copy()
        begin = int(pieces["place"][0])
        places = self._plan.places[begin : begin + int(pieces["places"].sum())]
        pieces["offset"] -= read.start
        pieces["place"] -= begin
        result = self._module.files_fill(
            self._key, data, pieces, places, self._table, self._names, self._sparse, self._must_own, self._checks
        )
        self._take(result, read)

    def finish(self, rows: Rows) -> None:
        """See Files."""
        special = self._has_more[rows]
        if not special.all():
            self._take(self._module.files_finish(self._table, self._names, rows[~special], self._must_own))
        for row in rows[special].tolist():
            self._pure.identity[row] = int(self._table["device"][row]), int(self._table["inode"][row])
        self._pure.finish(rows[special])

    def verify(self, rows: Rows) -> None:
        """See Files."""
        self._take(self._module.files_verify(self._table, self._names, self._plan.spans[rows], self._plan.parts))


def blobs_fail(
    module: ModuleType, key: Any, data: memoryview, start: int, entries: Sequence[PackEntry]
) -> list[tuple[int, str]]:
    """The blobs of a part of a pack that do not open to what their ids say: their places in `entries`, and why.

    The part begins at `start`, and holds all of them.
    """
    pieces = np.zeros(len(entries), PIECES)
    pieces["offset"] = [entry.offset - start for entry in entries]
    pieces["length"] = [entry.length for entry in entries]
    pieces["raw_length"] = [entry.raw_length for entry in entries]
    pieces["id"] = np.frombuffer(b"".join(entry.id for entry in entries), "V32")
    return [(row, why) for row, _, _, why in module.blobs_check(key, data, pieces)]
