"""Bringing a snapshot back into a folder.

The trees are walked depth first; folders, links and special files are made on the way, regular files are gathered into batches
whose content is written pack by pack (`content`) and then read back (`verify`). Folders get their metadata last, deepest first.
A name in a tree must be one plain component; links are never followed, so nothing is written outside of the target. What is in
the way and is no folder is replaced; a folder in the way of a file is an error of that file. Errors on single entries end in
the result and make it partial.
"""

import os
import stat as st
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import msgspec

from holdfast.repo.content import ContentWriter, FileTarget
from holdfast.repo.errors import Damaged, NoSnapshot, RepositoryError, Stopped
from holdfast.repo.gate import Gate
from holdfast.repo.metadata import apply
from holdfast.repo.patterns import Patterns
from holdfast.repo.repository import Repository
from holdfast.repo.result import Faults, Meter, ProgressHook, RestoreResult
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.tree import Node, decode_tree
from holdfast.repo.verify import verify_file

_BATCH_FILES = 8192
_BATCH_BLOBS = 65536
_SLICE = 128
T = TypeVar("T")


def restore(
    repo: Repository,
    snapshot: str,
    target: str,
    *,
    subfolder: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    verify: bool = True,
    sparse: bool = True,
    workers: int = 0,
    lock: bool = True,
    progress: ProgressHook | None = None,
    stop: threading.Event | None = None,
) -> RestoreResult:
    """Restore `snapshot` (`latest`, an id or its beginning) into the folder `target`, which is made when missing.

    With `subfolder` (an absolute path within the snapshot) the content of that folder lands directly in `target`, otherwise
    the full paths are made below it. `include` and `exclude` are patterns (see `patterns`) on paths within the snapshot.
    Raises NoSnapshot, Stopped, RepositoryLocked, or the StoreError of a store that failed; `lock=False` is for stores that
    can't be written.
    """
    began = time.monotonic()
    found = repo.snapshot(snapshot)
    full = not (subfolder or include or exclude) and found.summary is not None
    files, size = (found.summary.total_files_processed, found.summary.total_bytes_processed) if found.summary else (0, 0)
    meter = Meter(progress, lambda: (files, size, True) if full else (0, 0, False))
    run = _Restore(repo, Patterns(include), Patterns(exclude), meter, stop or threading.Event(), verify, sparse, workers)
    if lock:
        with repo.lock():
            repo.load_index()
            run.run(found, subfolder, target)
    else:
        run.run(found, subfolder, target)
    meter.tick(force=True)
    return run.result(found.id, time.monotonic() - began)


class _Folder(msgspec.Struct):
    """A folder on the way: made only when something in it is wanted. `node` is None for the target itself."""

    path: str
    inside: str
    node: Node | None
    parent: "_Folder | None"
    wanted: bool
    made: bool = False
    refused: bool = False


class _Restore:
    def __init__(
        self,
        repo: Repository,
        include: Patterns,
        exclude: Patterns,
        meter: Meter,
        stop: threading.Event,
        verify: bool,
        sparse: bool,
        workers: int,
    ) -> None:
        self._repo, self._include, self._exclude = repo, include, exclude
        self._meter, self._stop, self._verify = meter, stop, verify
        self._faults = Faults()
        self._workers = workers or max(4, os.cpu_count() or 4)
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="restore")
        self._gate = Gate(self._workers)
        self._content = ContentWriter(repo, self._each_small, self._each, self._faults, meter.add, self._gate, sparse=sparse)
        self._batch: list[FileTarget] = []
        self._batch_blobs = 0
        self._folders: list[_Folder] = []
        self._first: dict[tuple[int, int], str] = {}
        self._links: list[tuple[str, str]] = []
        self._others = 0
        self._mutex = threading.Lock()
        self._verified = [0, 0]

    def run(self, snapshot: Snapshot, subfolder: str, target: str) -> None:
        root = os.path.abspath(target)
        os.makedirs(root, exist_ok=True)
        try:
            tree, inside, node = self._start(snapshot, subfolder)
            self._walk(tree, _Folder(root, inside, node, None, self._include.empty, made=True))
            self._flush()
            self._make_links()
            for folder in reversed(self._folders):
                if folder.node is not None:
                    self._guard(folder.path, lambda folder=folder: apply(_present(folder.node), folder.path))
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def result(self, ident: str, seconds: float) -> RestoreResult:
        """The counts, after `run`."""
        return RestoreResult(
            snapshot_id=ident,
            files=self._meter.files,
            directories=sum(1 for folder in self._folders if folder.node is not None),
            links=len(self._links),
            others=self._others,
            bytes_restored=self._meter.bytes,
            verified_files=self._verified[0],
            verified_bytes=self._verified[1],
            errors=self._faults.kept,
            error_count=self._faults.count,
            seconds=seconds,
        )

    def _start(self, snapshot: Snapshot, subfolder: str) -> tuple[str, str, Node | None]:
        tree, inside, node = snapshot.tree, "", None
        for part in [part for part in subfolder.split("/") if part]:
            nodes = {entry.file_name: entry for entry in self._nodes(tree)}
            node = nodes.get(part)
            inside = f"{inside}/{part}"
            if node is None or node.subtree is None:
                raise NoSnapshot(f"{self._repo.store.location}: snapshot {snapshot.short_id} has no folder {inside!r}")
            tree = node.subtree
        return tree, inside, node

    def _nodes(self, tree: str) -> list[Node]:
        return decode_tree(self._repo.load_blob(bytes.fromhex(tree)))

    def _walk(self, tree: str, root: _Folder) -> None:
        self._folders.append(root)
        stack: list[tuple[_Folder, Iterator[Node]]] = [(root, iter(self._nodes(tree)))]
        while stack:
            self._check()
            folder, nodes = stack[-1]
            node = next(nodes, None)
            if node is None:
                stack.pop()
            elif node.type == "dir":
                child = self._enter(folder, node)
                if child is not None:
                    self._guard(child.path, lambda n=node, c=child: stack.append((c, iter(self._nodes(n.subtree or "")))))
            else:
                self._entry(folder, node)

    def _enter(self, folder: _Folder, node: Node) -> _Folder | None:
        name = self._safe_name(folder, node)
        if name is None:
            return None
        inside = f"{folder.inside}/{name}"
        if self._exclude.match(inside):
            return None
        wanted = folder.wanted or self._include.match(inside)
        if not wanted and not self._include.match_below(inside):
            return None
        child = _Folder(os.path.join(folder.path, name), inside, node, folder, wanted)
        if wanted and not self._make(child):
            return None
        return child

    def _safe_name(self, folder: _Folder, node: Node) -> str | None:
        try:
            name = node.file_name
        except Damaged as error:
            self._faults.add(folder.path, error)
            return None
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            self._faults.add(folder.path, f"the snapshot holds the name {name!r}, which would leave the target: refused")
            return None
        return name

    def _make(self, folder: _Folder) -> bool:
        """Make a folder and those above it; whether that worked."""
        if folder.made or folder.refused:
            return folder.made
        if folder.parent is not None and not self._make(folder.parent):
            folder.refused = True
            return False
        try:
            try:
                os.mkdir(folder.path, 0o700)
            except FileExistsError:
                if not st.S_ISDIR(os.lstat(folder.path).st_mode):
                    raise
            folder.made = True
            self._folders.append(folder)
        except OSError as error:
            folder.refused = True
            self._faults.add(folder.path, error)
        return folder.made

    def _entry(self, folder: _Folder, node: Node) -> None:
        name = self._safe_name(folder, node)
        if name is None:
            return
        inside = f"{folder.inside}/{name}"
        if self._exclude.match(inside) or not (folder.wanted or self._include.match(inside)):
            return
        if not self._make(folder):
            return
        path = os.path.join(folder.path, name)
        if node.type == "file":
            self._file(path, node)
        else:
            self._guard(path, lambda: self._other(path, node))

    def _file(self, path: str, node: Node) -> None:
        key = (node.device_id, node.inode)
        if node.links > 1 and node.inode:
            first = self._first.setdefault(key, path)
            if first != path:
                self._links.append((path, first))
                return
        try:
            ids = [bytes.fromhex(ident) for ident in node.content or ()]
        except ValueError as error:
            self._faults.add(path, Damaged(f"its list of blobs is not readable: {error}"))
            return
        self._batch.append(FileTarget(path, node, ids))
        self._batch_blobs += len(ids)
        if len(self._batch) >= _BATCH_FILES or self._batch_blobs >= _BATCH_BLOBS:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_blobs = self._batch, [], 0
        self._content.write(batch)
        if self._verify:
            self._each_small([file for file in batch if not file.failed and file.whole], self._verify_one)
            self._each([file for file in batch if not file.failed and not file.whole], self._verify_one)

    def _verify_one(self, file: FileTarget) -> None:
        try:
            size = verify_file(file.path, file.ids, self._repo.index)
        except (OSError, RepositoryError) as error:
            self._content.fail(file, error)
            return
        with self._mutex:
            self._verified[0] += 1
            self._verified[1] += size

    def _other(self, path: str, node: Node) -> None:
        if os.path.lexists(path):
            os.unlink(path)
        if node.type == "symlink":
            raw = node.linktarget_raw
            os.symlink(os.fsdecode(raw) if raw else node.linktarget, path)
        elif node.type == "fifo":
            os.mkfifo(path, 0o600)
        elif node.type in ("dev", "chardev"):
            kind = st.S_IFBLK if node.type == "dev" else st.S_IFCHR
            os.mknod(path, kind | 0o600, node.device)
        else:
            return
        apply(node, path)
        self._others += 1

    def _make_links(self) -> None:
        for path, first in self._links:
            self._guard(path, lambda path=path, first=first: _link(first, path))
            self._meter.add(1, 0)

    def _guard(self, path: str, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, RepositoryError, ValueError) as error:
            self._faults.add(path, error)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the restore was asked to stop; the target is incomplete")

    def _each(self, work: list[T], action: Callable[[T], None]) -> None:
        """Run an action for all items on the pool; ticks and stops meanwhile."""

        def checked(item: T) -> None:
            self._check()
            action(item)

        futures: deque[Future[None]] = deque(self._pool.submit(checked, item) for item in work)
        while futures:
            self._check()
            self._meter.tick()
            if wait([futures[0]], timeout=0.5).done:
                futures.popleft().result()

    def _each_small(self, work: list[T], action: Callable[[T], None]) -> None:
        """The same for actions that are mostly work for the interpreter: in slices, through the gate."""

        def gated(items: list[T]) -> None:
            with self._gate:
                for item in items:
                    action(item)

        self._each([work[start : start + _SLICE] for start in range(0, len(work), _SLICE)], gated)


def _link(first: str, path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    os.link(first, path, follow_symlinks=False)


def _present(node: Node | None) -> Node:
    if node is None:
        raise ValueError("a folder without an entry")
    return node
