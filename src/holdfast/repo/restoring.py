"""The run of a restore: from the trees of a snapshot to folders, links and files.

The trees are walked depth first; folders, links and special files are made on the way, regular files are gathered into batches
whose content the pool writes (`content`) while the walk goes on. When a batch is written its hard links are made, and the
folders that are complete by then get their metadata, deepest first. All is done through descriptors of folders (`target`): a
name in a tree must be one plain component, links are never followed, so nothing is written outside of the target. Errors on
single entries end in the result and make it partial. Memory: two batches, one window of each kind of pack per thread, a stack
as deep as the snapshot; nothing grows with the number of files but the table of first names of hard links.
"""

import os
import stat as st
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import msgspec

from holdfast.repo.cleaning import Cleaner
from holdfast.repo.content import Content
from holdfast.repo.documents import parse_id
from holdfast.repo.errors import NoSnapshot, RepositoryError, Stopped, TargetFull
from holdfast.repo.gate import Gate
from holdfast.repo.gathered import FileTarget, Gathered, read_entries
from holdfast.repo.metadata import apply, apply_at
from holdfast.repo.native import module
from holdfast.repo.overwrite import Action, decide
from holdfast.repo.repository import Repository
from holdfast.repo.restore_options import ActionHook, Counts, Options
from holdfast.repo.result import Faults, Meter, RestoreResult
from holdfast.repo.room import is_full, most_entries
from holdfast.repo.selection import Selector, parts_of
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.special import KINDS, make_link, make_special
from holdfast.repo.staging import Stage
from holdfast.repo.target import Folder, Target, safe_name
from holdfast.repo.tree import Node, decode_tree
from holdfast.repo.trees import TreeReader
from holdfast.repo.unfolding import Repeats, count_entries

_BATCH_FILES = 8192
_BATCH_BLOBS = 65536
_BATCHES = 2
"""How many batches the pool may have while the next is gathered."""


class _Batch:
    """Files to write, and what waits for them: names to link to them, and folders that are complete once they are written."""

    def __init__(self) -> None:
        self.files = Gathered()
        self.pinned: dict[Folder, None] = {}
        self.blobs = 0
        self.links: list[tuple[FileTarget, Folder, str]] = []
        self.complete: list[tuple[Folder, frozenset[str]]] = []
        self.content: Content | None = None


class Run:
    """One run. It is the `Outcome` of its batches."""

    def __init__(
        self, repo: Repository, options: Options, meter: Meter, on_action: ActionHook | None, stop: threading.Event
    ) -> None:
        self._repo, self._options, self._meter, self._stop = repo, options, meter, stop
        self._on_action = on_action
        self._watched = options.dry_run or on_action is not None
        self._selector = Selector(options.selection)
        asks = self._watched or options.delete or not self._selector.trivial
        self._native = None if asks else module()
        """What reads plain files without a look at each, where each is wanted and nobody is told of any."""
        self._trees = TreeReader(repo)
        self._faults, self._counts = Faults(), Counts()
        self._repeats = Repeats()
        self._full: OSError | None = None
        self._mutex = threading.Lock()
        workers = options.workers or max(4, os.cpu_count() or 4)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="restore")
        self._gate, self._one_large = Gate(workers), threading.Lock()
        self._batch = _Batch()
        self._flying: deque[_Batch] = deque()
        self._first: dict[tuple[int, int], FileTarget] = {}
        self._first_special: dict[tuple[int, int], tuple[Folder, str]] = {}
        self._passed_bytes = 0
        self._staged_at = ""

    def run(self, snapshot: Snapshot, subfolder: str, target: str) -> None:
        """Restore a snapshot, or a folder of it, into a folder. Raises as `restore.restore`."""
        try:
            tree, inside, node = self._start(snapshot, subfolder)
            self._need_paths(snapshot)
            if self._options.dry_run or not self._options.staging:
                self._into(os.path.abspath(target), tree, inside, node)
                return
            with Stage(os.path.abspath(target)) as stage:
                self._into(stage.folder, tree, inside, node)
                if self._faults.count:
                    self._staged_at = stage.keep()
                else:
                    stage.hand_over()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._meter.tick(force=True)

    def _into(self, root: str, tree: str, inside: str, node: Node | None) -> None:
        top = Folder(root, node, None, wanted=self._selector.takes_all)
        self._root, self._tree = root, tree
        self._inside_root = inside
        self._target = Target(top)
        self._most_folders = self._target.most // (_BATCHES + 2)
        try:
            self._begin(top)
            self._walk(tree, top)
            self._flush()
            while self._flying:
                self._settle()
            self._refuse_full()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._target.close()

    def _begin(self, top: Folder) -> None:
        """Enter the target. A dry run looks at one that is there, and takes one that is not for empty."""
        if not self._options.dry_run or os.path.isdir(top.name):
            self._target.begin()
        else:
            top.made = top.fresh = True

    def result(self, ident: str, seconds: float) -> RestoreResult:
        """The counts, after `run`."""
        return RestoreResult(
            snapshot_id=ident,
            files=self._meter.files - self._counts.skipped - self._counts.unchanged,
            bytes_restored=self._meter.bytes - self._passed_bytes,
            staged_at=self._staged_at,
            errors=self._faults.kept,
            error_count=self._faults.count,
            seconds=seconds,
            **msgspec.structs.asdict(self._counts),
        )

    def _start(self, snapshot: Snapshot, subfolder: str) -> tuple[str, str, Node | None]:
        tree, inside, node = snapshot.tree, "", None
        for part in [part for part in subfolder.split("/") if part]:
            node = self._child(tree, part)
            inside = f"{inside}/{part}"
            if node is None or node.subtree is None:
                raise NoSnapshot(f"{self._repo.store.location}: snapshot {snapshot.short_id} has no folder {inside!r}")
            tree = node.subtree
        return tree, inside, node

    def _child(self, tree: str, name: str) -> Node | None:
        return next((node for node in self._trees.load(tree) if node.file_name == name), None)

    def _need_paths(self, snapshot: Snapshot) -> None:
        """Raise NoSnapshot for a path that was asked for and is not in the snapshot."""
        for parts in parts_of(self._options.selection.paths):
            tree: str | None = snapshot.tree
            for part in parts:
                node = self._child(tree, part) if tree else None
                if node is None:
                    where = f"{self._repo.store.location}: snapshot {snapshot.short_id}"
                    raise NoSnapshot(f"{where} has nothing at {'/' + '/'.join(parts)!r}")
                tree = node.subtree

    def _walk(self, tree: str, top: Folder) -> None:
        stack = [self._enter(top, tree)]
        while stack:
            self._check()
            folder, below, names = stack[-1]
            child = next(below, None)
            if child is None:
                stack.pop()
                if folder.made:
                    self._complete_later(folder, names)
                continue
            tree = (child.node.subtree if child.node else None) or ""
            if self._repeats.visit(tree):
                self._refuse_more_than_fits()
            try:
                stack.append(self._enter(child, tree))
            except RepositoryError as error:
                self._fault(child.path, error)

    def _enter(self, folder: Folder, tree: str) -> tuple[Folder, Iterator[Folder], frozenset[str]]:
        """Take all entries of a folder but the folders, which are returned with all names that the snapshot has in it."""
        self._meter.tick()
        named = self._named(folder, self._entries(folder, tree))
        below: list[Folder] = []
        inside = "" if self._selector.trivial else self._inside(folder)
        for name, node in named.items():
            within = f"{inside}/{name}"
            if not self._selector.trivial and self._selector.excludes(within):
                continue
            wanted = folder.wanted or self._selector.includes(within)
            if node.type == "dir":
                if wanted or self._selector.includes_below(within):
                    child = Folder(name, node, folder, wanted=wanted)
                    if not wanted or self._make(child):
                        below.append(child)
            elif wanted and (folder.made or self._make(folder)):
                try:
                    self._entry(folder, name, node)
                except (OSError, RepositoryError, ValueError) as error:
                    self._fault(os.path.join(folder.path, name), error)
        return folder, iter(below), frozenset(named) if self._options.delete else frozenset()

    def _entries(self, folder: Folder, tree: str) -> list[Node]:
        """The entries of a folder that are to be looked at one by one; plain files that need no question go to the batch."""
        if self._native is None or not (folder.made and (folder.fresh or self._options.overwrite == "always")):
            return self._trees.load(tree)
        data = self._trees.load_bytes(parse_id(tree))
        found = read_entries(self._native, data)
        if found is None:
            return decode_tree(data)
        entries, rest = found
        while len(entries.rows):
            batch = self._batch
            part, entries = entries.cut(_BATCH_FILES - len(batch.files), _BATCH_BLOBS - batch.blobs)
            batch.files.add(folder, part)
            self._gather(folder, len(part.ids))
        return decode_tree(rest) if rest else []

    def _named(self, folder: Folder, nodes: list[Node]) -> dict[str, Node]:
        """The entries by name. A name that is not safe, or comes twice, and an owner out of range is a fault of the entry."""
        named: dict[str, Node] = {}
        for node in nodes:
            try:
                name = safe_name(node)
            except RepositoryError as error:
                self._faults.add(folder.path, error)
                continue
            if name in named:
                self._faults.add(os.path.join(folder.path, name), "the snapshot holds this name twice: the second is left out")
            elif node.uid >> 32 or node.gid >> 32:
                self._faults.add(os.path.join(folder.path, name), f"its owner {node.uid}:{node.gid} is out of range")
            else:
                named[name] = node
        return named

    def _inside(self, folder: Folder) -> str:
        """The path of a folder within the snapshot."""
        return "/".join((self._inside_root, *(above.name for above in folder.up()[1:])))

    def _make(self, folder: Folder) -> bool:
        """Make a folder and those above it; whether that worked. Says so once."""
        missing: list[Folder] = []
        at: Folder | None = folder
        while at is not None and not (at.made or at.refused):
            missing.append(at)
            at = at.parent
        for child in reversed(missing):
            if child.parent is not None and child.parent.refused:
                child.refused = True
                continue
            try:
                self._make_one(child)
            except OSError as error:
                child.refused = True
                self._fault(child.path, error)
        return folder.made

    def _make_one(self, folder: Folder) -> None:
        parent = folder.parent
        assert parent is not None
        there = None if parent.fresh else self._there(parent, folder.name)
        if there is not None and not st.S_ISDIR(there.st_mode):
            if self._options.overwrite not in ("always", "if-changed"):
                raise OSError(None, "what is there is no folder, and the overwrite rule keeps it")
            self._tell(Action.REPLACED, folder, "", 0)
            if not self._options.dry_run:
                os.unlink(folder.name, dir_fd=self._target.handle(parent))
            there = None
        elif there is None:
            self._tell(Action.NEW, folder, "", 0)
        if not self._options.dry_run:
            self._target.make(folder)
        folder.made = True
        folder.fresh = there is None

    def _there(self, folder: Folder, name: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._target.handle(folder), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def _entry(self, folder: Folder, name: str, node: Node) -> None:
        """Decide what becomes of an entry, and do it or leave it to the batch. Raises OSError and RepositoryError."""
        regular = node.type == "file"
        if regular and folder.fresh and not self._watched:
            self._file(folder, name, node)
            return
        if not regular and node.type not in KINDS:
            return
        there = None
        if not folder.fresh and (self._options.overwrite != "always" or self._watched):
            there = self._there(folder, name)
        action = decide(self._options.overwrite, node, there)
        size = node.size if regular else 0
        self._tell(action, folder, name, size)
        if action is Action.SKIPPED or (self._options.dry_run and regular):
            self._pass(action, size)
        elif self._options.dry_run:
            self._counts.others += 1
        elif not regular:
            self._special(folder, name, node)
        elif action is Action.UNCHANGED:
            self._own(apply_at(node, self._target.handle(folder), name))
            self._pass(action, size)
        else:
            self._file(folder, name, node)

    def _pass(self, action: Action, size: int) -> None:
        """Count a file that is not written."""
        self._meter.add(1, size)
        if action in (Action.SKIPPED, Action.UNCHANGED):
            self._passed_bytes += size
            self._counts.skipped += action is Action.SKIPPED
            self._counts.unchanged += action is Action.UNCHANGED

    def _special(self, folder: Folder, name: str, node: Node) -> None:
        key = (node.device_id, node.inode)
        first = self._first_special.get(key) if node.links > 1 and node.inode else None
        if first is not None:
            self._join(*first, folder, name)
        else:
            self._own(make_special(node, name, self._target.handle(folder)))
            if node.links > 1 and node.inode:
                self._first_special[key] = folder, name
        self._counts.others += 1

    def _file(self, folder: Folder, name: str, node: Node) -> None:
        batch = self._batch
        if node.links > 1 and node.inode:
            first = self._first.get((node.device_id, node.inode))
            if first is not None:
                batch.links.append((first, folder, name))
                return
        file = FileTarget(folder, name, node)
        if node.links > 1 and node.inode:
            self._first[node.device_id, node.inode] = file
        batch.files.others.append(file)
        self._gather(folder, len(node.content or ()))

    def _gather(self, folder: Folder, blobs: int) -> None:
        """Note files of a folder with so many blobs, which the batch has, and give the batch away when it is full."""
        batch = self._batch
        if folder not in batch.pinned:
            self._target.pin(folder)
            batch.pinned[folder] = None
        batch.blobs += blobs
        if len(batch.files) >= _BATCH_FILES or batch.blobs >= _BATCH_BLOBS or len(batch.pinned) >= self._most_folders:
            self._flush()

    def _complete_later(self, folder: Folder, names: frozenset[str]) -> None:
        self._batch.complete.append((folder, names))
        if len(self._batch.complete) >= _BATCH_FILES:
            self._flush()

    def _flush(self) -> None:
        """Give the batch to the pool, and settle the oldest when the pool has enough."""
        batch, self._batch = self._batch, _Batch()
        options = self._options
        batch.content = Content(
            self._repo,
            batch.files,
            self,
            self._pool,
            self._gate,
            self._check,
            self._one_large,
            sparse=options.sparse,
            verify=options.verify,
        )
        batch.content.begin()
        self._flying.append(batch)
        while len(self._flying) > _BATCHES:
            self._settle()

    def _settle(self) -> None:
        """Wait for the oldest batch, then do what waits for its files."""
        batch = self._flying.popleft()
        content = batch.content
        assert content is not None
        self._wait(content.tasks)
        content.finish()
        self._wait(content.tasks)
        for first, folder, name in batch.links:
            self._guard(folder, name, lambda first=first, folder=folder, name=name: self._link(first, folder, name))
        for folder in batch.pinned:
            self._target.unpin(folder)
        for folder, names in batch.complete:
            self._guard(folder, "", lambda folder=folder, names=names: self._complete(folder, names))

    def _link(self, first: FileTarget, folder: Folder, name: str) -> None:
        if first.failed:
            raise OSError(None, f"it is a second name of {first.path}, which could not be restored")
        self._join(first.folder, first.name, folder, name)
        self._counts.links += 1
        self._meter.add(1, 0)

    def _join(self, first_folder: Folder, first: str, folder: Folder, name: str) -> None:
        """Make a second name of what is restored already."""
        handle = self._target.pin(first_folder)
        try:
            make_link(first, handle, name, self._target.handle(folder))
        finally:
            self._target.unpin(first_folder)

    def _complete(self, folder: Folder, names: frozenset[str]) -> None:
        """Clean a folder and set its metadata: nothing is made in it any more."""
        if self._options.delete and not self._faults.count and not folder.fresh:
            cleaner = Cleaner(self._selector, self._removed, self._faults.add, dry_run=self._options.dry_run)
            cleaner.clean(self._target.handle(folder), folder.path, self._inside(folder), names, wanted=folder.wanted)
        if folder.node is None:
            return
        self._counts.directories += 1
        if not self._options.dry_run:
            self._own(apply(folder.node, self._target.handle(folder)))
            self._target.forget(folder)

    def _removed(self, action: Action, path: str) -> None:
        self._counts.removed += 1
        if self._on_action is not None:
            self._on_action(action, path, 0)

    def _tell(self, action: Action, folder: Folder, name: str, size: int) -> None:
        if self._on_action is not None:
            self._on_action(action, os.path.join(folder.path, name) if name else folder.path, size)

    def _own(self, owned: bool) -> None:
        if not owned:
            self._counts.unowned += 1

    def fail(self, file: FileTarget, error: BaseException) -> None:
        """See Outcome."""
        with self._mutex:
            if file.failed:
                return
            file.failed = True
        self._fault(file.path, error)

    def done(self, files: int, size: int) -> None:
        """See Outcome."""
        self._meter.add(files, size)

    def verified(self, files: int, size: int) -> None:
        """See Outcome."""
        with self._mutex:
            self._counts.verified_files += files
            self._counts.verified_bytes += size

    def unowned(self, files: int) -> None:
        """See Outcome."""
        with self._mutex:
            self._counts.unowned += files

    def _guard(self, folder: Folder, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except (OSError, RepositoryError, ValueError) as error:
            self._fault(os.path.join(folder.path, name) if name else folder.path, error)

    def _fault(self, path: str, error: BaseException) -> None:
        """Record what went wrong with one entry; a full target is the end of all."""
        self._faults.add(path, error)
        if self._full is None and isinstance(error, OSError) and is_full(self._root, error):
            self._full = error

    def _refuse_more_than_fits(self) -> None:
        entries, most = count_entries(self._trees, self._tree), most_entries(self._root)
        if entries > most:
            many = f"{entries:,}" if entries < 10**12 else f"10^{len(str(entries)) - 1}"
            raise TargetFull(
                f"the snapshot unfolds to {many} entries, and the file system of {self._root} holds {most:,} at most: "
                "stopped before it is full; what was restored until then is there"
            )

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the restore was asked to stop; the target is incomplete")
        self._refuse_full()

    def _refuse_full(self) -> None:
        if self._full is not None:
            raise TargetFull(
                f"{self._root}: {self._full.strerror}: stopped, the target is incomplete; free some space and restore again, "
                "with the overwrite rule if-changed to keep what is there"
            )

    def _wait(self, tasks: list[Future[None]]) -> None:
        """Wait for tasks of the pool; ticks and stops meanwhile."""
        for task in tasks:
            while not wait([task], timeout=0.5).done:
                self._check()
                self._meter.tick()
            task.result()
            self._meter.tick()
