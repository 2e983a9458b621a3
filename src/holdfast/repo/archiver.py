"""From paths to a stored tree.

One thread walks the source depth first, decides for each file whether the parent snapshot still describes it (type, size,
mtime, ctime, inode, and all its blobs known), and hands the rest in batches to threads that read, hash, compress and seal.
Folders are finished in post-order once their files are; a bound on entries under way keeps memory flat. The parent's trees are
read from the repository: no state is kept anywhere else. A file that can't be read is recorded, never passed over in silence.
"""

import os
import re
import stat as st
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import msgspec

from holdfast.repo.blob import blob_id
from holdfast.repo.chunker import MIN_BYTES
from holdfast.repo.chunking import Cutter
from holdfast.repo.errors import Damaged, Stopped
from holdfast.repo.reading import FileReader
from holdfast.repo.repository import Repository
from holdfast.repo.result import Faults, Meter
from holdfast.repo.scan import Found, Listing, Rules, list_folder
from holdfast.repo.times import format_ns, parse_ns
from holdfast.repo.tree import KnownNode, decode_known, encode_dir, encode_file, encode_other, encode_tree, read_xattrs
from holdfast.repo.writer import BlobWriter

_BATCH_FILES = 64
_BATCH_BYTES = 2 << 20
_MOST_ENTRIES = 20_000
_READERS = 2
_HEX_ID = re.compile(rb"[0-9a-f]{64}")

T = TypeVar("T")
Nodes = list[tuple[bytes, str]]
"""Encoded nodes with the bytes of their names, by which a tree is sorted."""


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


class _Folder:
    """A folder under way: `found` is None for the root of the snapshot."""

    __slots__ = ("entries", "found", "futures", "known", "nodes", "parent", "subtree")

    def __init__(self, found: Found | None, parent: "_Folder | None", subtree: str | None) -> None:
        self.found, self.parent, self.subtree = found, parent, subtree
        self.known: dict[str, KnownNode] = {}
        self.nodes: Nodes = []
        self.futures: list[Future[Nodes]] = []
        self.entries = 0


class _Wanted(dict[str, "_Wanted"]):
    """The paths to back up as a tree of names; a name with nothing below is taken whole."""


class Archiver:
    """One run. `counts` is complete when `run` returns."""

    def __init__(
        self,
        repo: Repository,
        writer: BlobWriter,
        rules: Rules,
        faults: Faults,
        meter: Meter,
        chunker: Cutter,
        *,
        workers: int,
        stop: threading.Event,
    ) -> None:
        self._repo, self._writer, self._rules = repo, writer, rules
        self._faults, self._meter, self._stop = faults, meter, stop
        self.counts = Counts()
        self._counting = threading.Lock()
        self._interpreter = threading.Lock()
        count = workers or max(2, os.cpu_count() or 2)
        self._seal_pool = ThreadPoolExecutor(count, thread_name_prefix="backup-seal")
        self._read_pool = ThreadPoolExecutor(_READERS, thread_name_prefix="backup-read")
        self._reader = FileReader(
            writer,
            chunker,
            self._seal_pool,
            self._advance,
            self._check,
            self._faults.add,
            most_chunks=2 * count,
        )
        self._waiting: deque[_Folder] = deque()
        self._entries = 0

    def run(self, sources: list[str], parent_tree: str) -> str:
        """Store everything; returns the id of the root tree, which is durable after the writer's `finish`."""
        try:
            root = _Folder(None, None, parent_tree or None)
            self._walk(root, "/", _wanted(sources))
            while self._waiting:
                self._finish_oldest()
            self._stop_pools(cancel=False)
            return root.subtree or ""
        except BaseException as error:
            self._writer.abandon(error)
            self._stop_pools(cancel=True)
            self._writer.check()  # the first failure is the cause; what this thread met may be its echo
            raise

    def _stop_pools(self, *, cancel: bool) -> None:
        for pool in (self._read_pool, self._seal_pool):
            pool.shutdown(wait=True, cancel_futures=cancel)

    def _advance(self, size: int) -> None:
        self._meter.add(0, size)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the backup was asked to stop; what is stored so far is used by the next one")

    def _walk(self, root: _Folder, path: str, wanted: _Wanted) -> None:
        """Depth first without recursion, so that the depth of the source is no limit."""
        stack: list[tuple[_Folder, Iterator[tuple[Found, _Wanted]]]] = [(root, self._enter(root, path, wanted))]
        while stack:
            self._check()
            folder, below = stack[-1]
            step = next(below, None)
            if step is None:
                stack.pop()
                self._leave(folder)
                continue
            found, wanted = step
            old = folder.known.get(found.name)
            child = _Folder(found, folder, old.subtree if old else None)
            stack.append((child, self._enter(child, found.path, wanted)))

    def _enter(self, folder: _Folder, path: str, wanted: _Wanted) -> Iterator[tuple[Found, _Wanted]]:
        folder.known = self._load_known(folder.subtree)
        listing, below = self._list(path, wanted)
        with self._counting:
            self.counts.vanished += listing.vanished
        for found in listing.others:
            self._other(folder, found)
        self._files(folder, listing.files)
        folder.entries = len(listing.files) + len(listing.others) + 1
        self._entries += folder.entries
        return iter([(found, below.get(found.name, _Wanted())) for found in listing.folders])

    def _list(self, path: str, wanted: _Wanted) -> tuple[Listing, _Wanted]:
        if not wanted:
            try:
                return list_folder(path, self._rules), wanted
            except OSError as error:
                self._faults.add(path, error)
                return Listing([], [], []), wanted
        listing = Listing([], [], [])
        for name in sorted(wanted, key=os.fsencode):
            full = os.path.join(path, name)
            try:
                found = Found(name, full, os.lstat(full))
            except OSError as error:
                self._faults.add(full, error)
                continue
            kind = st.S_IFMT(found.stat.st_mode)
            {st.S_IFREG: listing.files, st.S_IFDIR: listing.folders}.get(kind, listing.others).append(found)
        return listing, wanted

    def _load_known(self, subtree: str | None) -> dict[str, KnownNode]:
        if not subtree:
            return {}
        try:
            return decode_known(self._repo.load_blob(bytes.fromhex(subtree)))
        except (Damaged, ValueError):
            return {}

    def _xattrs(self, path: str) -> str:
        return read_xattrs(path, lambda error: self._faults.add(path, error))

    def _other(self, folder: _Folder, found: Found) -> None:
        try:
            target = os.readlink(found.path) if st.S_ISLNK(found.stat.st_mode) else None
        except OSError as error:
            self._faults.add(found.path, error)
            return
        node = encode_other(found.name, found.stat, self._xattrs(found.path), target)
        folder.nodes.append((os.fsencode(found.name), node))

    def _files(self, folder: _Folder, files: list[Found]) -> None:
        batch: list[Found] = []
        size = 0
        for found in files:
            old = folder.known.get(found.name)
            if old is not None and self._unchanged(found, old):
                content = bytes(old.content).decode()
                node = encode_file(found.name, found.stat, self._xattrs(found.path), found.stat.st_size, content)
                folder.nodes.append((os.fsencode(found.name), node))
                self._meter.add(1, found.stat.st_size)
                self.counts.files_unmodified += 1
                continue
            if found.stat.st_size >= MIN_BYTES:
                folder.futures.append(self._read_pool.submit(self._large, found, folder.known))
                continue
            batch.append(found)
            size += found.stat.st_size
            if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
                folder.futures.append(self._seal_pool.submit(self._small, batch, folder.known))
                batch, size = [], 0
        if batch:
            folder.futures.append(self._seal_pool.submit(self._small, batch, folder.known))

    def _unchanged(self, found: Found, old: KnownNode) -> bool:
        stat = found.stat
        if old.type != "file" or old.size != stat.st_size or old.inode != stat.st_ino:
            return False
        if not (_same_time(old.mtime, stat.st_mtime_ns) and _same_time(old.ctime, stat.st_ctime_ns)):
            return False
        index = self._repo.index
        return all(bytes.fromhex(ident.decode()) in index for ident in _HEX_ID.findall(bytes(old.content)))

    def _large(self, found: Found, known: dict[str, KnownNode]) -> Nodes:
        self._check()
        node = self._attempt(found, lambda: self._reader.archive(found.name, found.path))
        return self._done([(found.name, node)] if node else [], known)

    def _small(self, batch: list[Found], known: dict[str, KnownNode]) -> Nodes:
        self._check()
        loaded = [self._attempt(found, lambda found=found: self._reader.load(found.name, found.path)) for found in batch]
        with self._interpreter:
            return self._done([(item.name, self._reader.store(item)) for item in loaded if item], known)

    def _attempt(self, found: Found, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except FileNotFoundError:
            with self._counting:
                self.counts.vanished += 1
        except OSError as error:
            self._faults.add(found.path, error)
        return None

    def _done(self, nodes: list[tuple[str, str]], known: dict[str, KnownNode]) -> Nodes:
        changed = sum(1 for name, _ in nodes if name in known)
        self._meter.add(len(nodes), 0)
        with self._counting:
            self.counts.files_new += len(nodes) - changed
            self.counts.files_changed += changed
        return [(os.fsencode(name), node) for name, node in nodes]

    def _leave(self, folder: _Folder) -> None:
        self._waiting.append(folder)
        self._meter.tick()
        while self._entries > _MOST_ENTRIES and self._waiting:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        folder = self._waiting.popleft()
        for future in folder.futures:
            folder.nodes += self._await(future)
        folder.nodes.sort()
        blob = encode_tree([node for _, node in folder.nodes])
        ident = blob_id(blob)
        if self._writer.claim(ident):
            self._background(lambda: self._writer.store("tree", ident, blob))
        self._count_folder(folder, ident.hex())
        folder.subtree = ident.hex()
        self._entries -= folder.entries
        if folder.parent is not None and folder.found is not None:
            found = folder.found
            node = encode_dir(found.name, found.stat, self._xattrs(found.path), folder.subtree)
            folder.parent.nodes.append((os.fsencode(found.name), node))
        folder.nodes, folder.futures, folder.known = [], [], {}

    def _count_folder(self, folder: _Folder, subtree: str) -> None:
        if folder.found is None:
            return
        if folder.subtree is None:
            self.counts.dirs_new += 1
        elif folder.subtree == subtree:
            self.counts.dirs_unmodified += 1
        else:
            self.counts.dirs_changed += 1

    def _await(self, future: "Future[Nodes]") -> Nodes:
        while True:
            self._check()
            self._meter.tick()
            if wait([future], timeout=0.5).done:
                return future.result()

    def _background(self, action: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                action()
            except BaseException as error:
                self._writer.abandon(error)

        self._seal_pool.submit(guarded)


def _same_time(written: str, ns: int) -> bool:
    if written == format_ns(ns):
        return True
    try:
        return parse_ns(written) == ns
    except ValueError:
        return False


def _wanted(sources: list[str]) -> _Wanted:
    root = _Wanted()
    for path in sorted(sources, key=len):
        at, parts = root, [part for part in path.split("/") if part]
        for number, part in enumerate(parts):
            if part in at and not at[part]:
                break
            at = at.setdefault(part, _Wanted())
            if number == len(parts) - 1:
                at.clear()
    return root
