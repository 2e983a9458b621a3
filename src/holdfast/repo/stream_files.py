"""Backing up small files that lie nowhere: names and contents as they come, such as manifests read from an API.

Nothing touches a disk in clear. The files come in the order of their paths, so that a folder is complete when the next one
begins: memory holds the entries of the folders that are open, and one file.
"""

import stat as st
import threading
from collections.abc import Iterable
from typing import Unpack

import msgspec

from holdfast.repo.errors import SourceError, Stopped
from holdfast.repo.folders import Counts
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult, Faults, Meter
from holdfast.repo.run import Common, Run
from holdfast.repo.tree import MadeStat, encode_dir, encode_file, encode_tree
from holdfast.repo.writer import BlobWriter

_BLOB_BYTES = 4 << 20


class StreamedFile(msgspec.Struct, frozen=True):
    """One file: its path below the root with `/` between names, its content, and its time in nanoseconds since 1970."""

    path: str
    content: bytes
    mtime_ns: int = 0


class _Folder:
    def __init__(self, name: str) -> None:
        self.name, self.nodes, self.mtime_ns = name, list[str](), 0


def backup_files(
    repo: Repository,
    root: str,
    files: Iterable[StreamedFile],
    **common: Unpack[Common],
) -> BackupResult:
    """Store `files` below the folder `root` (`/manifests`) of a new snapshot.

    They come sorted by their path's names. Files have mode 0600, since nothing is known of who may read them, and folders the
    time of their newest file, so that what did not change is stored once. A file that was not in the repository counts as
    new, else as unmodified. For the rest see `run.Common`. Raises SourceError for a path that is none or out of order,
    Stopped, LockLost, RepositoryLocked, what `files` raises, or the StoreError of a store that failed.
    """
    names = _names(root)
    meter = Meter(common.get("progress"), lambda: (0, 0, False))
    run = Run(repo, ["/" + "/".join(names)], meter, Faults(), common)
    with run.begin() as writer:
        counts = Counts()
        made = _Files(names, writer, meter, counts, run.stop, first=run.known is None)
        return run.end(made.store(files), counts)


class _Files:
    def __init__(
        self, root: list[str], writer: BlobWriter, meter: Meter, counts: Counts, stop: threading.Event, *, first: bool
    ) -> None:
        self._writer, self._meter, self._counts, self._stop, self._first = writer, meter, counts, stop, first
        self._open = [_Folder(name) for name in ("", *root)]
        self._depth = len(self._open)
        self._last: list[bytes] = []

    def store(self, files: Iterable[StreamedFile]) -> str:
        """Store every file and return the id of the root's tree."""
        for file in files:
            if self._stop.is_set():
                raise Stopped("the backup was asked to stop; what is stored so far is used by the next one")
            self._add(file, _names(file.path))
        while len(self._open) > 1:
            self._close()
        return self._tree(self._open[0])

    def _add(self, file: StreamedFile, names: list[str]) -> None:
        key = [name.encode() for name in names]
        if key <= self._last:
            raise SourceError(f"{file.path!r} comes after {b'/'.join(self._last).decode()!r}: files must come in order")
        self._last = key
        self._enter(names[:-1])
        stat = MadeStat(st.S_IFREG | 0o600, file.mtime_ns)
        folder = self._open[-1]
        folder.nodes.append(encode_file(names[-1], stat, "", len(file.content), self._content(file.content)))
        folder.mtime_ns = max(folder.mtime_ns, file.mtime_ns)
        self._meter.add(1, len(file.content))
        self._meter.tick()

    def _content(self, content: bytes) -> str:
        before = self._writer.blobs["data"]
        parts = [content[at : at + _BLOB_BYTES] for at in range(0, len(content), _BLOB_BYTES)]
        idents = [self._writer.save("data", part).hex() for part in parts]
        if self._first or self._writer.blobs["data"] > before:
            self._counts.files_new += 1
        else:
            self._counts.files_unmodified += 1
        return msgspec.json.encode(idents).decode()

    def _enter(self, folders: list[str]) -> None:
        """Close the folders that are complete and open those that this file lies in."""
        present = [folder.name for folder in self._open[self._depth :]]
        common = 0
        while common < min(len(present), len(folders)) and present[common] == folders[common]:
            common += 1
        while len(self._open) > self._depth + common:
            self._close()
        self._open += [_Folder(name) for name in folders[common:]]

    def _close(self) -> None:
        folder = self._open.pop()
        above = self._open[-1]
        stat = MadeStat(st.S_IFDIR | 0o700, folder.mtime_ns)
        above.nodes.append(encode_dir(folder.name, stat, "", self._tree(folder)))
        above.mtime_ns = max(above.mtime_ns, folder.mtime_ns)
        self._counts.dirs_new += 1

    def _tree(self, folder: _Folder) -> str:
        return self._writer.save("tree", encode_tree(folder.nodes)).hex()


def _names(path: str) -> list[str]:
    names = [name for name in path.split("/") if name]
    if not names or any(name in (".", "..") or "\0" in name for name in names):
        raise SourceError(f"{path!r} can't be a path in a snapshot")
    return names
