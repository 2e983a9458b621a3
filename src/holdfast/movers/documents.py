"""Small files beside the repositories, such as `metadata.yaml`: in a directory or in a bucket.

A repository's own store never overwrites and knows only restic's folders; what lies beside it is replaced as a whole and
needs to be listed and wiped. Failures come out as MoverError with a reason and the next thing to try.
"""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

from holdfast.core.calls import StorageTarget
from holdfast.movers.context import MoverError

_REASONS = {
    errno.ENOSPC: ("StoreFull", "free space or enlarge the volume"),
    errno.EDQUOT: ("StoreFull", "free space or raise the quota"),
    errno.EROFS: ("ReadOnly", "mount the volume writable"),
    errno.EACCES: ("AccessDenied", "check owner and mode of the folder"),
    errno.EPERM: ("AccessDenied", "check owner and mode of the folder"),
    errno.ENOENT: ("NoFolder", "check mountPath and subPath of the BackupStorage"),
    errno.ENOTDIR: ("NoFolder", "check mountPath and subPath of the BackupStorage"),
}


class Documents(Protocol):
    """A flat place for documents; names are relative paths."""

    def create(self) -> None:
        """Make the folder or the bucket when it is missing."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a document, or None."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Put a document in place of what is there."""
        ...

    def delete(self, name: str) -> None:
        """Remove a document."""
        ...

    def names(self) -> Iterator[str]:
        """List everything below the place."""
        ...

    def folder(self, name: str) -> list[str]:
        """List the documents directly in a folder, each with the folder's name before its own; none when it is missing."""
        ...

    def wipe(self) -> int:
        """Remove everything below the place; returns how many objects that were. Refuses a root."""
        ...


def open_documents(target: StorageTarget) -> Documents:
    """Open a place. Nothing is read or written yet."""
    scheme = target.url.partition(":")[0]
    if scheme in ("s3", "azure"):
        from holdfast.movers.bucket import open_bucket

        return open_bucket(target)
    if scheme == "gs":
        from holdfast.movers.remote_documents import open_remote

        return open_remote(target)
    return Folder(Path(target.url.removeprefix("local:")))


class Folder:
    """Documents in a directory."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self) -> None:
        """Make the directory."""
        with self._translated("create", self._root):
            self._root.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """Read a file; None when there is none."""
        path = self._root / name
        with self._translated("read", path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Write beside, sync, rename into place. Process ids repeat among pods, so the name beside is drawn."""
        path = self._root / name
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with self._translated("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Remove a file."""
        with self._translated("delete", self._root / name):
            (self._root / name).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """List all files below."""
        with self._translated("list", self._root):
            for folder, _, files in os.walk(self._root):
                for file in files:
                    yield os.path.relpath(os.path.join(folder, file), self._root)

    def folder(self, name: str) -> list[str]:
        """List the files of a folder."""
        with self._translated("list", self._root / name), contextlib.suppress(FileNotFoundError):
            return [f"{name}/{entry.name}" for entry in (self._root / name).iterdir() if entry.is_file()]
        return []

    def wipe(self) -> int:
        """Remove the directory."""
        root = self._root.resolve()
        if len(root.parts) < 3 or root.is_mount():
            raise MoverError("RefusedToWipe", f"{root} is a volume's root, not the folder of a Repository", "name a directory")
        count = sum(1 for _ in self.names())
        with self._translated("delete", root), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(root)
        return count

    @contextlib.contextmanager
    def _translated(self, verb: str, path: Path) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise folder_error(error, verb, str(path)) from error


def folder_error(error: OSError, verb: str, what: str) -> MoverError:
    """Return the failure for an error of the file system: what could not be done, why, and the next thing to try."""
    reason, hint = _REASONS.get(error.errno or 0, ("StoreFailed", "look at the volume"))
    return MoverError(reason, f"can't {verb} {what}: {error.strerror or error}", hint)
