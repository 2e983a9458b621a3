"""Files in a directory: a mounted repository.

A file is written without a name, synced, linked into `.datasafed/` and renamed, so that a killed push leaves nothing. File
systems that know no files without a name (NFS, FUSE) show it in `.datasafed/` from the start; what killed pushes left there
goes after a day.
"""

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO

from holdfast.movers.datasafed.faults import DatasafedError, NotThere
from holdfast.movers.datasafed.places import BLOCK, Item

DRAFTS = ".datasafed"
SWEEP_AFTER = 24 * 3600.0

_NAMES_NEEDED = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL)
"""What file systems answer that know no files without a name."""


class LocalPlace:
    """A place in the directory `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, path: str, blocks: Iterable[bytes], size: int | None = None) -> None:
        """Write a draft, sync it, rename it."""
        target, draft = self._root / path, self._root / DRAFTS / f"{os.getpid()}-{secrets.token_hex(6)}"
        with self._explained("write", path):
            if target.is_dir():
                raise DatasafedError(f"{path} is a folder: it can't be written as a file")
            draft.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep(draft.parent)
            try:
                with _opened(draft) as file:
                    for block in blocks:
                        _write_all(file.fileno(), block)
                    os.fsync(file.fileno())
                    _name(file.fileno(), draft)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(draft, target)
            finally:
                draft.unlink(missing_ok=True)
            _sync(target.parent)

    def read(self, path: str) -> Iterator[bytes]:
        """Read a file block by block."""
        with self._explained("read", path), open(self._root / path, "rb", buffering=0) as file:
            while block := file.read(BLOCK):
                yield block

    def find(self, path: str) -> Item | None:
        """Look at a file."""
        target = self._root / path
        try:
            found = target.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if target.is_dir() else Item(path, found.st_size, found.st_mtime)

    def list(self, path: str, *, recursive: bool = False) -> Iterator[Item]:
        """Scan a directory."""
        with self._explained("list", path), os.scandir(self._root / path) as entries:
            for entry in entries:
                inside = f"{path}/{entry.name}" if path else entry.name
                if inside == DRAFTS:
                    continue
                try:
                    found, is_folder = entry.stat(), entry.is_dir()
                except FileNotFoundError:
                    continue
                yield Item(inside, 0 if is_folder else found.st_size, found.st_mtime, is_folder)
                if is_folder and recursive:
                    yield from self.list(inside, recursive=True)

    def delete(self, path: str) -> None:
        """Unlink a file."""
        with self._explained("delete", path):
            (self._root / path).unlink(missing_ok=True)

    def delete_tree(self, path: str) -> None:
        """Remove a directory with its content."""
        with self._explained("delete", path), contextlib.suppress(FileNotFoundError):
            target = self._root / path
            if path and not target.is_dir():
                target.unlink()
            elif path:
                shutil.rmtree(target)
            else:
                for entry in os.scandir(target):
                    self.delete_tree(entry.name)

    def make_folder(self, path: str) -> None:
        """Make a directory."""
        with self._explained("make", path):
            (self._root / path).mkdir(parents=True, exist_ok=True)

    def remove_folder(self, path: str) -> None:
        """Remove an empty directory."""
        with self._explained("remove", path):
            (self._root / path).rmdir()

    def _sweep(self, drafts: Path) -> None:
        limit = time.time() - SWEEP_AFTER
        for entry in os.scandir(drafts):
            with contextlib.suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < limit:
                    os.unlink(entry.path)

    @contextlib.contextmanager
    def _explained(self, verb: str, path: str) -> Generator[None]:
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotThere(f"can't {verb} {path or '/'}: it does not exist in the repository") from error
        except OSError as error:
            raise DatasafedError(f"can't {verb} {path or '/'} in {self._root}: {error.strerror}") from error


def _opened(draft: Path) -> IO[bytes]:
    """Open a file for writing: without a name where the file system can do that, else under the name of the draft."""
    try:
        handle = os.open(draft.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in _NAMES_NEEDED:
            raise
        return open(draft, "xb", buffering=0)
    return os.fdopen(handle, "wb", buffering=0)


def _name(handle: int, draft: Path) -> None:
    """Give an open file its name, if it has none. (Only with a folder of its own does `os.link` follow the link in /proc.)"""
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(str(handle), draft, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)


def _write_all(handle: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(handle, view) :]


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
