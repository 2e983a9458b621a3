"""Regular files of a restore: made, filled from blobs, finished, and read back. This is the pure path; `native_files` does the
same work, batch by batch, outside the interpreter lock.

A file is named by its folder's descriptor and one plain name, is made with O_EXCL and never opened through a link, and what is
opened again must be the very file that was made. Blocks of zeros become holes.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from holdfast.repo.errors import Damaged, RepositoryError
from holdfast.repo.gathered import FileTarget
from holdfast.repo.metadata import apply
from holdfast.repo.plan import Plan, Read, Rows
from holdfast.repo.repository import Repository

_BLOCK = 4096
_WINDOW = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Outcome(Protocol):
    """Where the work is reported, from any thread."""

    def fail(self, file: FileTarget, error: BaseException) -> None:
        """Something of a file went wrong; only the first time counts."""
        ...

    def done(self, files: int, size: int) -> None:
        """Files are finished, bytes are written."""
        ...

    def verified(self, files: int, size: int) -> None:
        """Files and bytes were read back."""
        ...

    def unowned(self, files: int) -> None:
        """The owner of files could not be set, since we lack the right."""
        ...


class Files(Protocol):
    """The work on the files of one plan. Rows of different calls may be worked on at once; nothing raises for single files.

    What failed is passed over, and files are finished as soon as one step fills them, unless they have extended attributes.
    """

    def make(self, rows: Rows) -> None:
        """Make files of full size, all hole. One that is empty is finished too."""
        ...

    def fill(self, data: memoryview, read: Read) -> None:
        """Open the blobs of a read and write them to their places; read back, if asked for, files that one blob fills."""
        ...

    def finish(self, rows: Rows) -> None:
        """Set the metadata of files that `fill` or `make` did not finish."""
        ...

    def verify(self, rows: Rows) -> None:
        """Read files back and compare the hash of each blob."""
        ...


class PureFiles:
    """The work in Python."""

    def __init__(self, repo: Repository, outcome: Outcome, plan: Plan, *, sparse: bool, verify: bool) -> None:
        self._repo, self._outcome, self._plan, self._sparse = repo, outcome, plan, sparse
        self._checks = verify
        self.identity: dict[int, tuple[int, int]] = {}
        """Device and inode of files that were made and are opened again."""

    def _each(self, rows: Iterable[int], action: Callable[[int, FileTarget], None]) -> None:
        for row in rows:
            file = self._plan.files[row]
            if not file.failed:
                try:
                    action(row, file)
                except (OSError, RepositoryError) as error:
                    self._outcome.fail(file, error)

    def make(self, rows: Rows) -> None:
        """See Files."""
        self._each(rows.tolist(), self._make)

    def fill(self, data: memoryview, read: Read) -> None:
        """See Files."""
        for number in range(read.first, read.last):
            ident, at = self._plan.location(number, read.pack)
            first, count = int(self._plan.pieces["place"][number]), int(self._plan.pieces["places"][number])
            places: list[tuple[int, int, int]] = self._plan.places[first : first + count].tolist()
            begin = at.offset - read.start
            try:
                plain = self._repo.open_blob(ident, at, data[begin : begin + at.length])
                if len(plain) != at.plain_length:
                    raise Damaged(f"blob {ident.hex()[:12]} is not as long as its index entry says")
            except RepositoryError as error:
                for row, _, _ in places:
                    self._outcome.fail(self._plan.files[row], error)
                continue
            self._put(plain, places)
        if self._checks:
            self.verify(self._plan.whole_of(read))

    def finish(self, rows: Rows) -> None:
        """See Files."""
        self._each(rows.tolist(), self._finish)

    def verify(self, rows: Rows) -> None:
        """See Files."""
        self._each(rows.tolist(), self._verify)

    def _put(self, plain: bytes, places: list[tuple[int, int, int]]) -> None:
        for row, whole, offset in places:
            if whole:
                self._each([row], lambda row, file: self._whole(row, file, plain))
            else:
                self._each([row], lambda row, file, offset=offset: self._piece(row, file, plain, offset))

    def _make(self, row: int, file: FileTarget) -> None:
        handle = create_file(file.name, file.folder.handle)
        try:
            self._remember(row, handle)
            size = int(self._plan.sizes[row])
            os.ftruncate(handle, size)
            if not size:
                self._finish_early(file, handle)
        finally:
            os.close(handle)

    def _whole(self, row: int, file: FileTarget, plain: bytes) -> None:
        handle = create_file(file.name, file.folder.handle)
        try:
            self._write(handle, plain, 0)
            if self._sparse:
                os.ftruncate(handle, len(plain))
            self._remember(row, handle)
            self._outcome.done(0, len(plain))
            self._finish_early(file, handle)
        finally:
            os.close(handle)

    def _piece(self, row: int, file: FileTarget, plain: bytes, offset: int) -> None:
        handle = self._reopen(row, file)
        try:
            self._write(handle, plain, offset)
        finally:
            os.close(handle)
        self._outcome.done(0, len(plain))

    def _write(self, handle: int, plain: bytes, offset: int) -> None:
        for begin, end in data_runs(plain) if self._sparse else [(0, len(plain))]:
            _pwrite(handle, memoryview(plain)[begin:end], offset + begin)

    def _finish(self, row: int, file: FileTarget) -> None:
        handle = self._reopen(row, file)
        try:
            self._complete(file, handle)
        finally:
            os.close(handle)

    def _finish_early(self, file: FileTarget, handle: int) -> None:
        if not file.node.extended_attributes:
            self._complete(file, handle)

    def _complete(self, file: FileTarget, handle: int) -> None:
        if not apply(file.node, handle):
            self._outcome.unowned(1)
        self._outcome.done(1, 0)

    def _verify(self, row: int, file: FileTarget) -> None:
        span = self._plan.spans[row]
        first = int(span["part"])
        parts = self._plan.parts[first : first + int(span["parts"])].tolist()
        verify_file(file, parts)
        self._outcome.verified(1, int(self._plan.sizes[row]))

    def _remember(self, row: int, handle: int) -> None:
        found = os.fstat(handle)
        self.identity[row] = found.st_dev, found.st_ino

    def _reopen(self, row: int, file: FileTarget) -> int:
        """Open a file that was made, and no other that has its name by now. Raises OSError."""
        handle = os.open(file.name, _AGAIN, dir_fd=file.folder.handle)
        found = os.fstat(handle)
        if (found.st_dev, found.st_ino) != self.identity.get(row):
            os.close(handle)
            raise OSError(errno.ESTALE, "something else has taken its name", file.name)
        return handle


def create_file(name: str, folder: int) -> int:
    """A new, empty, private file; what is in the way is removed, never written through, a folder only when empty."""
    try:
        return os.open(name, _CREATE, 0o600, dir_fd=folder)
    except FileExistsError:
        clear_way(name, folder)
        return os.open(name, _CREATE, 0o600, dir_fd=folder)


def clear_way(name: str, folder: int) -> None:
    """Remove what has a name that we need: a link itself, a folder only when it is empty. Raises OSError."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=folder)
        except OSError as error:
            raise OSError(error.errno, f"a folder is in the way: {error.strerror}", name) from None


def verify_file(file: FileTarget, parts: Sequence[tuple[int, bytes]]) -> None:
    """Read a file from its beginning and compare each blob (length and id) with the snapshot. Raises Damaged or OSError."""
    handle = _open_to_read(file.name, file.folder.handle)
    try:
        at = 0
        for length, ident in parts:
            if _hash(handle, length) != ident:
                raise Damaged(f"verification failed: bytes {at} to {at + length} are not what the snapshot holds")
            at += length
        if os.read(handle, 1):
            raise Damaged(f"verification failed: the file goes on after byte {at}")
    finally:
        os.close(handle)


def _open_to_read(name: str, folder: int) -> int:
    try:
        return os.open(name, _READ | os.O_NOATIME, dir_fd=folder)
    except PermissionError:
        return os.open(name, _READ, dir_fd=folder)


def _hash(handle: int, length: int) -> bytes:
    digest = hashlib.sha256()
    while length:
        data = os.read(handle, min(length, _WINDOW))
        if not data:
            return b""
        digest.update(data)
        length -= len(data)
    return digest.digest()


def data_runs(plain: bytes) -> Iterator[tuple[int, int]]:
    """The parts of a blob that are not whole blocks of zeros, as begin and end."""
    blocks = len(plain) // _BLOCK
    body = np.frombuffer(plain, np.uint64, blocks * _BLOCK // 8).reshape(blocks, _BLOCK // 8)
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
