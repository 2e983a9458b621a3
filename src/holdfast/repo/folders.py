"""One folder of the source on its way into a tree: what the archiver asks of it, and the pure form of it.

A folder is opened (listed, compared with the parent, unchanged files described), its files are read by the tasks that it hands
out, its subfolders' trees are put in place, and then it is finished: its tree is stored. The native form is `folders_native`.
"""

import os
import stat as st
import threading
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec

from holdfast.repo.blob import blob_id
from holdfast.repo.chunker import MIN_BYTES
from holdfast.repo.errors import Damaged
from holdfast.repo.reading import FileReader
from holdfast.repo.repository import Repository
from holdfast.repo.result import Faults, Meter
from holdfast.repo.scan import Found, Listing, Rules, list_folder, sort_out
from holdfast.repo.times import format_ns, parse_ns
from holdfast.repo.tree import KnownNode, decode_known, encode_dir, encode_file, encode_other, encode_tree, read_xattrs
from holdfast.repo.trees import TreeReader
from holdfast.repo.writer import BlobWriter

BATCH_FILES = 256
BATCH_BYTES = 4 << 20
"""Small files are read in batches of at most this many, and about this many bytes."""

_HEX_DIGITS = 64

T = TypeVar("T")


class Wanted(dict[str, "Wanted"]):
    """The paths to back up as a tree of names; a name with nothing below is taken whole."""


class Counts(msgspec.Struct):
    """Files and folders by what became of them since the parent."""

    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    dirs_new: int = 0
    dirs_changed: int = 0
    dirs_unmodified: int = 0
    vanished: int = 0

    @property
    def files(self) -> int:
        """All files in the snapshot."""
        return self.files_new + self.files_changed + self.files_unmodified


class Comparison(msgspec.Struct, frozen=True):
    """What of a file's metadata may differ from the parent's without its being read again."""

    ignore_ctime: bool = False
    ignore_inode: bool = False


class Job:
    """What all folders of one run share. Safe for threads."""

    def __init__(
        self, repo: Repository, writer: BlobWriter, rules: Rules, comparison: Comparison, faults: Faults, meter: Meter
    ) -> None:
        self.repo, self.writer, self.rules, self.comparison = repo, writer, rules, comparison
        self.faults, self.meter = faults, meter
        self.counts = Counts()
        self.trees = TreeReader(repo)
        self.interpreter = threading.Lock()
        """Held for work that only the interpreter does: threads that do it together only fight for its lock."""
        self._mutex = threading.Lock()

    def count(self, *, new: int = 0, changed: int = 0, unmodified: int = 0, vanished: int = 0, size: int = 0) -> None:
        """Count files, and bytes of the source."""
        with self._mutex:
            self.counts.files_new += new
            self.counts.files_changed += changed
            self.counts.files_unmodified += unmodified
            self.counts.vanished += vanished
        self.meter.add(new + changed + unmodified, size)

    def count_folder(self, known: str, tree: str) -> None:
        """Count a folder by its tree and the parent's."""
        if not known:
            self.counts.dirs_new += 1
        elif known == tree:
            self.counts.dirs_unmodified += 1
        else:
            self.counts.dirs_changed += 1

    def known_tree(self, tree: str) -> bytes | None:
        """The parent's tree of a folder, or None where there is none that can be read."""
        try:
            return self.trees.load_bytes(bytes.fromhex(tree)) if tree else None
        except (Damaged, ValueError):
            return None

    def attempt(self, path: str, action: Callable[[], T]) -> T | None:
        """The result of an action on a file; one that vanished is counted, one that can't be read is recorded."""
        try:
            return action()
        except FileNotFoundError:
            self.count(vanished=1)
        except OSError as error:
            self.faults.add(path, error)
        return None


class Subfolder(msgspec.Struct, frozen=True):
    """A folder below: `key` is how the folder above knows it, `known` the parent's tree of it or nothing."""

    key: int
    name: str
    known: str
    wanted: Wanted


class Folder(Protocol):
    """The calls in their order. `open` and the tasks may run on any thread, the rest is for one."""

    subfolders: list[Subfolder]
    entries: int
    lost: bool
    """It can't be read: the backup goes on without it."""
    small: list[Callable[[], None]]
    large: list[Callable[[], None]]

    def open(self) -> None:
        """List it, compare it, describe what is unchanged; fills the attributes."""
        ...

    def place(self, subfolder: Subfolder, tree: str) -> None:
        """Put the tree of a subfolder, in hexadecimal, in its place."""
        ...

    def finish(self) -> str:
        """Store the tree; its id in hexadecimal. All tasks are done and all subfolders placed."""
        ...


class PureFolder:
    """A folder in pure Python."""

    def __init__(self, job: Job, reader: FileReader, path: str, known: str, wanted: Wanted) -> None:
        self._job, self._reader, self._path, self._wanted = job, reader, path, wanted
        self._known_id = known
        self._known: Mapping[str, KnownNode] = {}
        self._nodes: list[tuple[bytes, str]] = []
        self._folders: list[Found] = []
        self.subfolders: list[Subfolder] = []
        self.small: list[Callable[[], None]] = []
        self.large: list[Callable[[], None]] = []
        self.entries = 0
        self.lost = False

    def open(self) -> None:
        """List, compare, sort out."""
        self._known = self._load_known()
        listing = self._list()
        self._job.count(vanished=listing.vanished)
        for found in listing.others:
            self._other(found)
        self._files(listing.files)
        self._folders = listing.folders
        for number, found in enumerate(listing.folders):
            old = self._known.get(found.name)
            known = old.subtree if old and old.subtree else ""
            self.subfolders.append(Subfolder(number, found.name, known, self._wanted.get(found.name, Wanted())))
        self.entries = len(listing.files) + len(listing.others) + 1

    def _load_known(self) -> Mapping[str, KnownNode]:
        tree = self._job.known_tree(self._known_id)
        try:
            return decode_known(tree) if tree else {}
        except Damaged:
            return {}

    def _list(self) -> Listing:
        if not self._wanted:
            try:
                return list_folder(self._path, self._job.rules)
            except OSError as error:
                self._job.faults.add(self._path, unlisted(error))
                self.lost = True
                return Listing([], [], [])
        listing = Listing([], [], [])
        for name in sorted(self._wanted, key=os.fsencode):
            path = os.path.join(self._path, name)
            try:
                found = Found(name, path, os.lstat(path))
            except OSError as error:
                self._job.faults.add(path, error)
                continue
            if not st.S_ISSOCK(found.stat.st_mode):
                sort_out(found, listing)
        return listing

    def _xattrs(self, path: str) -> str:
        return read_xattrs(path, lambda error: self._job.faults.add(path, error))

    def _add(self, name: str, node: str) -> None:
        self._nodes.append((os.fsencode(name), node))

    def _other(self, found: Found) -> None:
        try:
            target = os.readlink(found.path) if st.S_ISLNK(found.stat.st_mode) else None
        except OSError as error:
            self._job.faults.add(found.path, error)
            return
        self._add(found.name, encode_other(found.name, found.stat, self._xattrs(found.path), target))

    def _files(self, files: list[Found]) -> None:
        batch: list[Found] = []
        size = 0
        for found in files:
            old = self._known.get(found.name)
            if old is not None and self._unchanged(found, old):
                content, length = bytes(old.content).decode(), found.stat.st_size
                self._add(found.name, encode_file(found.name, found.stat, self._xattrs(found.path), length, content))
                self._job.count(unmodified=1, size=length)
                continue
            if found.stat.st_size >= MIN_BYTES:
                self.large.append(lambda found=found: self._large(found))
                continue
            batch.append(found)
            size += found.stat.st_size
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                self.small.append(lambda batch=batch: self._small(batch))
                batch, size = [], 0
        if batch:
            self.small.append(lambda: self._small(batch))

    def _unchanged(self, found: Found, old: KnownNode) -> bool:
        stat, comparison = found.stat, self._job.comparison
        if old.type != "file" or old.size != stat.st_size:
            return False
        if not comparison.ignore_inode and old.inode != stat.st_ino:
            return False
        if not _same_time(old.mtime, stat.st_mtime_ns):
            return False
        if not (comparison.ignore_ctime or _same_time(old.ctime, stat.st_ctime_ns)):
            return False
        return self._has_content(bytes(old.content), old.size)

    def _has_content(self, content: bytes, size: int) -> bool:
        """Whether the index has every blob of a file, and a file that is not empty has any."""
        index = self._job.repo.index
        try:
            ids: list[str] = msgspec.json.decode(content, type=list[str] | None) or []
            return bool(ids or not size) and all(len(ident) == _HEX_DIGITS and bytes.fromhex(ident) in index for ident in ids)
        except (ValueError, msgspec.DecodeError):
            return False

    def _large(self, found: Found) -> None:
        node = self._job.attempt(found.path, lambda: self._reader.archive(found.name, found.path))
        if node:
            self._done(found.name, node)

    def _small(self, batch: list[Found]) -> None:
        loaded = [
            self._job.attempt(found.path, lambda found=found: self._reader.load(found.name, found.path)) for found in batch
        ]
        with self._job.interpreter:
            for item in loaded:
                if item:
                    self._done(item.name, self._reader.store(item))

    def _done(self, name: str, node: str) -> None:
        changed = name in self._known
        self._job.count(new=not changed, changed=changed)
        self._add(name, node)

    def place(self, subfolder: Subfolder, tree: str) -> None:
        """Describe the subfolder."""
        found = self._folders[subfolder.key]
        self._add(found.name, encode_dir(found.name, found.stat, self._xattrs(found.path), tree))

    def finish(self) -> str:
        """Sort, encode, store."""
        self._nodes.sort()
        blob = encode_tree([node for _, node in self._nodes])
        ident = blob_id(blob)
        if self._job.writer.claim(ident):
            self._job.writer.store("tree", ident, blob)
        self._nodes, self._known = [], {}
        return ident.hex()


def unlisted(error: OSError) -> OSError:
    """Why a folder is not in the backup."""
    return OSError(error.errno, f"the folder can't be listed, and is left out: {error.strerror}")


def _same_time(written: str, ns: int) -> bool:
    if written == format_ns(ns):
        return True
    try:
        return parse_ns(written) == ns
    except ValueError:
        return False
