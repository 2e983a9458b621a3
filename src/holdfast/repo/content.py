"""Writing the content of many files from few reads of packs.

Blobs that are wanted are grouped by pack and sorted by offset; neighbours are fetched with one read of at most RANGE_BYTES,
which is what bounds memory: one range and one open blob per thread. Blocks of zeros are not written but left as holes. A
small file is created, filled and given its metadata in one go; larger ones are filled piece by piece, in any order.
"""

import os
from collections.abc import Callable, Iterator

import msgspec
import numpy as np

from holdfast.repo.chunker import ZERO_ID, ZEROS
from holdfast.repo.errors import Damaged, RepositoryError
from holdfast.repo.gate import Gate
from holdfast.repo.index import Location
from holdfast.repo.metadata import apply
from holdfast.repo.repository import Repository
from holdfast.repo.result import Faults
from holdfast.repo.store import path_of
from holdfast.repo.tree import Node

RANGE_BYTES = 8 << 20
_GAP_BYTES = 64 << 10
_BLOCK = 4096
_SMALL_PIECE = 64 << 10
"""Pieces below this size on average go through the gate."""

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileTarget(msgspec.Struct):
    """A regular file to restore. `failed` is set once anything of it went wrong."""

    path: str
    node: Node
    ids: list[bytes]
    failed: bool = False

    @property
    def whole(self) -> bool:
        """Whether one write fills all of it."""
        return len(self.ids) == 1 and self.ids[0] != ZERO_ID


class _Piece(msgspec.Struct, frozen=True):
    """A blob of a pack and where it goes."""

    ident: bytes
    at: Location
    places: list[tuple[FileTarget, int]]


_Range = tuple[bytes, int, int, list[_Piece]]


class ContentWriter:
    """Restores the content of batches of files. `each` runs an action for every item of a list, in parallel."""

    def __init__(
        self,
        repo: Repository,
        each: "Callable[[list[FileTarget], Callable[[FileTarget], None]], None]",
        each_range: "Callable[[list[_Range], Callable[[_Range], None]], None]",
        faults: Faults,
        advance: Callable[[int, int], None],
        gate: Gate,
        *,
        sparse: bool,
    ) -> None:
        self._repo, self._each, self._each_range = repo, each, each_range
        self._faults, self._advance, self._gate, self._sparse = faults, advance, gate, sparse

    def write(self, files: list[FileTarget]) -> None:
        """Create the files with content and metadata. What fails is recorded, and marked in its target."""
        ranges = list(_ranges(self._plan(files)))
        pieced = [file for file in files if not file.whole]
        self._each([file for file in pieced if not file.failed], self._create)
        self._each_range(ranges, self._fetch)
        self._each([file for file in pieced if not file.failed], self._complete)

    def fail(self, file: FileTarget, error: BaseException) -> None:
        """Record that a file could not be restored."""
        if not file.failed:
            file.failed = True
            self._faults.add(file.path, error)

    def _plan(self, files: list[FileTarget]) -> dict[bytes, dict[bytes, _Piece]]:
        packs: dict[bytes, dict[bytes, _Piece]] = {}
        index = self._repo.index
        for file in files:
            offset = 0
            for ident in file.ids:
                at = index.find(ident)
                if at is None:
                    self.fail(file, Damaged(f"blob {ident.hex()[:12]} is in no index; run `restic check`"))
                    break
                if not (self._sparse and ident == ZERO_ID):
                    piece = packs.setdefault(at.pack, {}).setdefault(ident, _Piece(ident, at, []))
                    piece.places.append((file, offset))
                offset += at.plain_length
            if not file.failed and offset != file.node.size:
                self.fail(file, Damaged(f"its blobs hold {offset} bytes, its entry says {file.node.size}"))
        return packs

    def _create(self, file: FileTarget) -> None:
        try:
            handle = create_file(file.path)
            try:
                os.ftruncate(handle, file.node.size)
            finally:
                os.close(handle)
        except OSError as error:
            self.fail(file, error)

    def _complete(self, file: FileTarget) -> None:
        try:
            apply(file.node, file.path)
            holes = file.ids.count(ZERO_ID) * len(ZEROS) if self._sparse else 0
            self._advance(1, holes)
        except (OSError, RepositoryError) as error:
            self.fail(file, error)

    def _fetch(self, work: _Range) -> None:
        pack, start, length, pieces = work
        try:
            data = memoryview(self._repo.store.get(path_of("data", pack.hex()), start, length))
        except RepositoryError as error:
            for piece in pieces:
                self._lose(piece, error)
            return
        if length < len(pieces) * _SMALL_PIECE:
            with self._gate:
                self._open_pieces(pieces, data, start)
        else:
            self._open_pieces(pieces, data, start)

    def _open_pieces(self, pieces: list[_Piece], data: memoryview, start: int) -> None:
        for piece in pieces:
            begin = piece.at.offset - start
            try:
                plain = self._repo.open_blob(piece.ident, piece.at, data[begin : begin + piece.at.length])
            except RepositoryError as error:
                self._lose(piece, error)
                continue
            for file, offset in piece.places:
                if not file.failed:
                    self._place(file, offset, plain)

    def _lose(self, piece: _Piece, error: RepositoryError) -> None:
        for file, _ in piece.places:
            self.fail(file, error)

    def _place(self, file: FileTarget, offset: int, plain: bytes) -> None:
        try:
            if not file.whole:
                handle = os.open(file.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    self._write_at(handle, plain, offset)
                finally:
                    os.close(handle)
                self._advance(0, len(plain))
                return
            handle = create_file(file.path)
            try:
                self._write_at(handle, plain, 0)
                if file.node.size >= _BLOCK:
                    os.ftruncate(handle, file.node.size)
                apply(file.node, handle)
            finally:
                os.close(handle)
            self._advance(1, len(plain))
        except (OSError, RepositoryError) as error:
            self.fail(file, error)

    def _write_at(self, handle: int, plain: bytes, offset: int) -> None:
        if not self._sparse or len(plain) < _BLOCK:
            _pwrite(handle, memoryview(plain), offset)
            return
        for begin, end in data_runs(plain):
            _pwrite(handle, memoryview(plain)[begin:end], offset + begin)


def create_file(path: str) -> int:
    """A new, empty, private file; one that exists is replaced, never written through. Raises OSError."""
    try:
        return os.open(path, _CREATE, 0o600)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _CREATE, 0o600)


def data_runs(plain: bytes) -> Iterator[tuple[int, int]]:
    """The parts of a blob that are not whole blocks of zeros, as begin and end."""
    blocks = len(plain) // _BLOCK
    body = np.frombuffer(plain, np.uint64, blocks * _BLOCK // 8).reshape(blocks, -1)
    filled = body.any(axis=1)
    if filled.all():
        yield 0, len(plain)
        return
    edges = np.flatnonzero(np.diff(np.concatenate(([False], filled, [False])).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield begin * _BLOCK, end * _BLOCK
    if len(plain) > blocks * _BLOCK:
        yield blocks * _BLOCK, len(plain)


def _pwrite(handle: int, view: memoryview, offset: int) -> None:
    while view:
        written = os.pwrite(handle, view, offset)
        view = view[written:]
        offset += written


def _ranges(packs: dict[bytes, dict[bytes, _Piece]]) -> Iterator[_Range]:
    for pack, pieces in packs.items():
        run: list[_Piece] = []
        start = end = 0
        for piece in sorted(pieces.values(), key=lambda piece: piece.at.offset):
            at = piece.at
            if run and (at.offset - end > _GAP_BYTES or at.offset + at.length - start > RANGE_BYTES):
                yield pack, start, end - start, run
                run = []
            if not run:
                start = at.offset
            run.append(piece)
            end = at.offset + at.length
        if run:
            yield pack, start, end - start, run
