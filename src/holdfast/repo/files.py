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

import msgspec
import numpy as np

from holdfast.repo.chunker import ZERO_ID
from holdfast.repo.errors import Damaged, RepositoryError
from holdfast.repo.index import Location
from holdfast.repo.metadata import apply
from holdfast.repo.repository import Repository
from holdfast.repo.target import Folder
from holdfast.repo.tree import Node

_BLOCK = 4096
_WINDOW = 1 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class FileTarget(msgspec.Struct):
    """A regular file to restore: `lengths` are those of its blobs, in bytes, `identity` is its device and inode once it is
    made.

    `size` is their sum, `row` its place in its batch. `failed` is set once anything of it went wrong; nothing more is done to
    it then.
    """

    folder: Folder
    name: str
    node: Node
    ids: list[bytes]
    row: int
    lengths: list[int] = msgspec.field(default_factory=list[int])
    size: int = 0
    identity: tuple[int, int] = (0, 0)
    failed: bool = False

    @property
    def path(self) -> str:
        """The path in the file system, for people."""
        return os.path.join(self.folder.path, self.name)

    @property
    def whole(self) -> bool:
        """Whether one blob fills all of it, so that one write does."""
        return len(self.ids) == 1 and self.ids[0] != ZERO_ID

    @property
    def finished_early(self) -> bool:
        """Whether `make` or `fill` finish it: it needs one step only and has nothing but owner, mode and times."""
        return (self.whole or not self.size) and not self.node.extended_attributes


class Piece(msgspec.Struct, frozen=True):
    """A blob of a pack and its places: file, offset in it, and whether it is all of the file."""

    ident: bytes
    at: Location
    places: list[tuple[FileTarget, int, bool]]


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
        """The owner of files could not be set, since we are not root."""
        ...


class Files(Protocol):
    """The work on the files of one batch. Rows of different calls may be worked on at once; nothing raises for single files."""

    def make(self, files: Sequence[FileTarget]) -> None:
        """Make files of full size, all hole. One that is empty is finished too, where it has no attributes."""
        ...

    def fill(self, data: memoryview, start: int, pieces: Sequence[Piece]) -> None:
        """Open the blobs of a range of a pack that begins at `start` and write them to their places."""
        ...

    def finish(self, files: Sequence[FileTarget]) -> None:
        """Set the metadata of files that `fill` or `make` did not finish."""
        ...

    def verify(self, files: Sequence[FileTarget]) -> None:
        """Read files back and compare the hash of each blob."""
        ...


class PureFiles:
    """The work in Python."""

    def __init__(self, repo: Repository, outcome: Outcome, *, sparse: bool) -> None:
        self._repo, self._outcome, self._sparse = repo, outcome, sparse

    def _each(self, files: Iterable[FileTarget], action: Callable[[FileTarget], None]) -> None:
        for file in files:
            if not file.failed:
                try:
                    action(file)
                except (OSError, RepositoryError) as error:
                    self._outcome.fail(file, error)

    def make(self, files: Sequence[FileTarget]) -> None:
        """See Files."""
        self._each(files, self._make)

    def fill(self, data: memoryview, start: int, pieces: Sequence[Piece]) -> None:
        """See Files."""
        for piece in pieces:
            begin = piece.at.offset - start
            try:
                plain = self._repo.open_blob(piece.ident, piece.at, data[begin : begin + piece.at.length])
                if len(plain) != piece.at.plain_length:
                    raise Damaged(f"blob {piece.ident.hex()[:12]} is not as long as its index entry says")
            except RepositoryError as error:
                for file, _, _ in piece.places:
                    self._outcome.fail(file, error)
                continue
            for file, offset, whole in piece.places:
                action = self._whole if whole else self._piece
                self._each([file], lambda file, action=action, offset=offset, plain=plain: action(file, plain, offset))

    def finish(self, files: Sequence[FileTarget]) -> None:
        """See Files."""
        self._each(files, self._finish)

    def verify(self, files: Sequence[FileTarget]) -> None:
        """See Files."""
        self._each(files, self._verify)

    def _make(self, file: FileTarget) -> None:
        handle = create_file(file.name, file.folder.handle)
        try:
            _remember(file, handle)
            os.ftruncate(handle, file.size)
            if file.size == 0 and not file.node.extended_attributes:
                self._complete(file, handle)
        finally:
            os.close(handle)

    def _whole(self, file: FileTarget, plain: bytes, _offset: int) -> None:
        handle = create_file(file.name, file.folder.handle)
        try:
            self._write(handle, plain, 0)
            if self._sparse:
                os.ftruncate(handle, len(plain))
            _remember(file, handle)
            self._outcome.done(0, len(plain))
            if not file.node.extended_attributes:
                self._complete(file, handle)
        finally:
            os.close(handle)

    def _piece(self, file: FileTarget, plain: bytes, offset: int) -> None:
        handle = reopen(file)
        try:
            self._write(handle, plain, offset)
        finally:
            os.close(handle)
        self._outcome.done(0, len(plain))

    def _write(self, handle: int, plain: bytes, offset: int) -> None:
        for begin, end in data_runs(plain) if self._sparse else [(0, len(plain))]:
            _pwrite(handle, memoryview(plain)[begin:end], offset + begin)

    def _finish(self, file: FileTarget) -> None:
        handle = reopen(file)
        try:
            self._complete(file, handle)
        finally:
            os.close(handle)

    def _complete(self, file: FileTarget, handle: int) -> None:
        if not apply(file.node, handle):
            self._outcome.unowned(1)
        self._outcome.done(1, 0)

    def _verify(self, file: FileTarget) -> None:
        verify_file(file)
        self._outcome.verified(1, file.size)


def _remember(file: FileTarget, handle: int) -> None:
    found = os.fstat(handle)
    file.identity = found.st_dev, found.st_ino


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


def reopen(file: FileTarget) -> int:
    """Open a file that was made, and no other that has its name by now. Raises OSError."""
    handle = os.open(file.name, _AGAIN, dir_fd=file.folder.handle)
    found = os.fstat(handle)
    if (found.st_dev, found.st_ino) != file.identity:
        os.close(handle)
        raise OSError(errno.ESTALE, "something else has taken its name", file.name)
    return handle


def verify_file(file: FileTarget) -> None:
    """Read a file from its beginning and compare the hash of each blob with the snapshot. Raises Damaged or OSError."""
    handle = _open_to_read(file.name, file.folder.handle)
    try:
        at = 0
        for ident, length in zip(file.ids, file.lengths, strict=True):
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
