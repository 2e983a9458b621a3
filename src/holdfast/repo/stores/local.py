"""A repository in a directory: of a disk, a mounted NFS export, a PersistentVolume.

`put` writes to `tmp/`, syncs the file, links it to its name and syncs the folder, so that a crash at any moment leaves
either the whole object or none. A link never replaces what exists; where a file system has no links a rename does the
same after a check. Temporary files of writers that died are swept after a day.
"""

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from holdfast.repo.errors import (
    AccessDenied,
    Damaged,
    ObjectExists,
    ObjectNotFound,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from holdfast.repo.store import KINDS, Buffer, Entry, Kind, is_id

SWEEP_AFTER = 24 * 3600.0
"""Age in seconds after which a file in `tmp/` can't belong to a living writer."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def _translate(error: OSError, what: str, path: str) -> NoReturn:
    number = error.errno
    text = f"{what} {path}: {error.strerror or error}"
    if number in (errno.ENOENT, errno.ENOTDIR):
        raise ObjectNotFound(text) from error
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise StoreFull(f"{text}: free some space or raise the quota, then run again") from error
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        raise AccessDenied(f"{text}: check the owner and mode of the repository folder") from error
    if number in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN):
        raise StoreUnavailable(text) from error
    raise StoreError(text) from error


class LocalStore:
    """A store in the directory `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._serial = itertools.count()
        self._nonce = os.urandom(4).hex()

    @property
    def location(self) -> str:
        """The directory's path."""
        return str(self.root)

    def create(self) -> None:
        """Make the folders, with access for the owner only."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("tmp", *KINDS):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
            for number in range(256):
                (self.root / "data" / f"{number:02x}").mkdir(exist_ok=True, mode=0o700)
            _sync_folder(self.root)
        except OSError as error:
            _translate(error, "create", str(self.root))

    def put(self, path: str, data: Buffer) -> None:
        """Write, sync, link into place, sync the folder."""
        target = self.root / path
        temporary = self.root / "tmp" / f"{os.getpid()}-{self._nonce}-{next(self._serial)}"
        try:
            self._write(temporary, data)
            try:
                self._publish(temporary, target)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    temporary.unlink()
            _sync_folder(target.parent)
        except FileExistsError as error:
            if target.name != "config" and self.size(path) == len(data):
                return
            raise ObjectExists(f"{target} exists: nothing that exists is overwritten") from error
        except OSError as error:
            _translate(error, "write", str(target))

    def _write(self, temporary: Path, data: Buffer) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            handle = os.open(temporary, flags, 0o400)
        except FileNotFoundError:
            temporary.parent.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(temporary, flags, 0o400)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        except BaseException:
            temporary.unlink()
            raise
        finally:
            os.close(handle)

    def _publish(self, temporary: Path, target: Path) -> None:
        try:
            os.link(temporary, target)
        except FileNotFoundError:
            target.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(target.parent.parent)
            os.link(temporary, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                raise FileExistsError(errno.EEXIST, "exists", str(target)) from None
            temporary.rename(target)

    def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """Read the file, or a part of it."""
        target = str(self.root / path)
        try:
            handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
            try:
                wanted = os.fstat(handle).st_size - offset if length is None else length
                data = _read_at(handle, wanted, offset)
            finally:
                os.close(handle)
        except OSError as error:
            _translate(error, "read", target)
        if len(data) != wanted:
            raise Damaged(f"{target} ends at byte {offset + len(data)}, {offset + wanted} were expected: it was cut short")
        return data

    def list(self, kind: Kind) -> Iterator[Entry]:
        """Scan the folder, and for packs its 256 subfolders."""
        folder = self.root / kind
        try:
            if kind != "data":
                yield from _entries(folder)
                return
            with contextlib.suppress(FileNotFoundError), os.scandir(folder) as subfolders:
                for subfolder in subfolders:
                    if subfolder.is_dir(follow_symlinks=False):
                        yield from _entries(Path(subfolder.path))
        except OSError as error:
            _translate(error, "list", str(folder))

    def size(self, path: str) -> int:
        """The file's size."""
        try:
            return os.stat(self.root / path).st_size
        except OSError as error:
            _translate(error, "stat", str(self.root / path))

    def delete(self, path: str) -> None:
        """Unlink the file and sync its folder."""
        target = self.root / path
        try:
            target.unlink()
            _sync_folder(target.parent)
        except OSError as error:
            _translate(error, "delete", str(target))

    def sweep(self) -> int:
        """Remove temporary files that no living writer can own any more; returns how many went."""
        limit, swept = time.time() - SWEEP_AFTER, 0
        with contextlib.suppress(OSError), os.scandir(self.root / "tmp") as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_mtime < limit:
                    os.unlink(entry.path)
                    swept += 1
        return swept

    def close(self) -> None:
        """Sweep the temporary folder; there is nothing else to give back."""
        self.sweep()


def _read_at(handle: int, wanted: int, offset: int) -> bytes:
    data = os.pread(handle, wanted, offset)
    if len(data) == wanted or not data:
        return data
    parts = [data]
    got = len(data)
    while got < wanted:
        data = os.pread(handle, wanted - got, offset + got)
        if not data:
            break
        parts.append(data)
        got += len(data)
    return b"".join(parts)


def _entries(folder: Path) -> Iterator[Entry]:
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if is_id(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    yield Entry(entry.name, entry.stat(follow_symlinks=False).st_size)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
