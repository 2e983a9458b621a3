"""Writing the content of batches of files from few reads of packs.

Blobs that are wanted are grouped by pack and sorted by offset; neighbours are fetched with one read (`packreads`),
which is what bounds memory: one range and one open blob per thread. A small file is created, filled, given its metadata and
read back in one go; larger ones are made first, filled piece by piece in any order, and finished last.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future

from holdfast.repo.blob import MAX_BLOB_BYTES
from holdfast.repo.chunker import ZERO_ID, ZEROS
from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.errors import Damaged, RepositoryError
from holdfast.repo.files import Files, FileTarget, Outcome, Piece, PureFiles
from holdfast.repo.gate import Gate
from holdfast.repo.native import module
from holdfast.repo.native_files import NativeFiles
from holdfast.repo.packreads import PackRead, plan_reads
from holdfast.repo.repository import Repository
from holdfast.repo.store import path_of

_SMALL_PIECE = 64 << 10
"""Pieces below this size on average are work for the interpreter on the pure path, and go through the gate."""
_VERIFY_BYTES = 64 << 20
"""How much of files one task reads back."""


class Content:
    """The content of one batch of files. The steps `begin`, `wait`, `finish` come in this order, from one thread.

    `check` raises when the run is to stop; it is asked before each piece of work.
    """

    def __init__(
        self,
        repo: Repository,
        files: list[FileTarget],
        outcome: Outcome,
        pool: Executor,
        gate: Gate,
        check: Callable[[], None],
        *,
        sparse: bool,
        verify: bool,
    ) -> None:
        self._repo, self._files, self._outcome, self._pool = repo, files, outcome, pool
        self._gate, self._check, self._sparse, self._verify = gate, check, sparse, verify
        self._pure = True
        self._pieced: list[FileTarget] = []
        self.tasks: list[Future[None]] = []
        """What `begin` and `finish` left to the pool; the caller waits for it."""

    def begin(self) -> None:
        """Make the larger files, and let the pool fetch and fill."""
        pieces = self._plan()
        self._pieced = [file for file in self._files if not file.whole and not file.failed]
        self._work = self._choose()
        self._work.make(self._pieced)
        if self._sparse:
            self._outcome.done(0, sum(file.ids.count(ZERO_ID) for file in self._pieced) * len(ZEROS))
        self.tasks = [
            self._pool.submit(self._fetch, read, [pieces[ident] for ident, _ in read.blobs])
            for read in plan_reads((piece.ident, piece.at) for piece in pieces.values())
        ]

    def finish(self) -> None:
        """Finish what is not finished yet, and let the pool read the larger files back. After the tasks of `begin`."""
        self._work.finish([file for file in self._files if not file.failed and not file.finished_early])
        self.tasks = [self._pool.submit(self._read_back, part) for part in _portions(self._pieced)] if self._verify else []

    def _choose(self) -> Files:
        native = module()
        self._pure = native is None
        if native is None:
            return PureFiles(self._repo, self._outcome, sparse=self._sparse)
        return NativeFiles(native, self._repo, self._outcome, self._files, sparse=self._sparse)

    def _plan(self) -> dict[bytes, Piece]:
        pieces: dict[bytes, Piece] = {}
        for file in self._files:
            try:
                self._place(file, pieces)
            except Damaged as error:
                self._outcome.fail(file, error)
        return pieces

    def _place(self, file: FileTarget, pieces: dict[bytes, Piece]) -> None:
        index, whole = self._repo.index, file.whole
        for ident in file.ids:
            at = index.find(ident)
            if at is None or at.kind != "data":
                raise Damaged(f"blob {ident.hex()[:12]} is in no index; run `restic check`")
            length = at.plain_length
            if not 0 <= length <= MAX_BLOB_BYTES or at.length > MAX_BLOB_BYTES + OVERHEAD:
                raise Damaged(f"blob {ident.hex()[:12]} claims to hold {length} bytes: its index entry is damaged")
            if not (self._sparse and ident == ZERO_ID):
                piece = pieces.get(ident)
                if piece is None:
                    piece = pieces[ident] = Piece(ident, at, [])
                piece.places.append((file, file.size, whole))
            file.lengths.append(length)
            file.size += length
        if file.size != file.node.size:
            raise Damaged(f"its blobs hold {file.size} bytes, its entry says {file.node.size}")

    def _fetch(self, read: PackRead, pieces: list[Piece]) -> None:
        self._check()
        try:
            data = memoryview(self._repo.store.get(path_of("data", read.pack.hex()), read.start, read.length))
        except RepositoryError as error:
            for file in {id(file): file for piece in pieces for file, _, _ in piece.places}.values():
                self._outcome.fail(file, error)
            return
        small = self._pure and read.length < len(pieces) * _SMALL_PIECE
        with self._gate if small else contextlib.nullcontext():
            self._work.fill(data, read.start, pieces)
            if self._verify:
                places = (place for piece in pieces for place in piece.places)
                self._work.verify([file for file, _, whole in places if whole and not file.failed])

    def _read_back(self, files: list[FileTarget]) -> None:
        self._check()
        self._work.verify([file for file in files if not file.failed])


def _portions(files: list[FileTarget]) -> Iterator[list[FileTarget]]:
    """Lists of files that are read back by one task each."""
    part: list[FileTarget] = []
    size = 0
    for file in files:
        part.append(file)
        size += file.size
        if size >= _VERIFY_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
