"""From paths to a stored tree.

One thread walks the source depth first; threads of a pool open folders a little ahead of it (list, compare with the parent,
read small files), others stream large files. Folders are finished in post-order once their files are; a bound on entries under
way keeps memory flat. The parent's trees are read from the repository: no state is kept anywhere else. A file that can't be
read is recorded, never passed over in silence.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from holdfast.repo.chunking import Cutter
from holdfast.repo.errors import Stopped
from holdfast.repo.folders import Counts, Folder, Job, PureFolder, Subfolder, Wanted
from holdfast.repo.packer_native import NativePacker
from holdfast.repo.reading import FileReader
from holdfast.repo.sources import Sources

_MOST_ENTRIES = 10_000
_AHEAD, _GROUP = 5, 4
"""At least so many folders of one level are opened before the walk comes to them, by so many at a time."""

_READERS = 2


class _Level:
    """A folder under way, and its subfolders that are still to be walked: the next few are being opened."""

    __slots__ = ("above", "ahead", "folder", "futures", "path", "place", "rest")

    def __init__(self, folder: Folder, path: str, place: Subfolder | None, above: "_Level | None") -> None:
        self.folder, self.path, self.place, self.above = folder, path, place, above
        self.rest: deque[Subfolder] = deque()
        self.ahead: deque[tuple[_Level, Future[None]]] = deque()
        self.futures: list[Future[None]] = []


class Archiver:
    """One run. `job.counts` is complete when `run` returns."""

    def __init__(self, job: Job, chunker: Cutter, *, workers: int, stop: threading.Event) -> None:
        self._job, self._stop = job, stop
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="backup-seal")
        self._read_pool = ThreadPoolExecutor(_READERS, thread_name_prefix="backup-read")
        self._reader = FileReader(
            job.writer, chunker, self._pool, self._advance, self.check, job.faults.add, most_chunks=2 * workers
        )
        self._waiting: deque[_Level] = deque()
        self._entries = 0

    @property
    def counts(self) -> Counts:
        """What became of files and folders."""
        return self._job.counts

    def run(self, sources: Sources, parent_tree: str) -> str:
        """Store everything; returns the id of the root tree, which is durable after the writer's `finish`."""
        try:
            root = _Level(self._folder(sources.base, parent_tree, sources.wanted), sources.base, None, None)
            root.folder.open()
            self._walk(root)
            while len(self._waiting) > 1:
                self._finish_oldest()
            tree = self._finish(self._waiting.popleft())
            self._stop_pools(cancel=False)
            return tree
        except BaseException as error:
            self._job.writer.abandon(error)
            self._stop_pools(cancel=True)
            self._job.writer.check()  # the first failure is the cause; what this thread met may be its echo
            raise

    def check(self) -> None:
        """Raise Stopped when the caller asked for it, and what made the writer fail."""
        if self._stop.is_set():
            raise Stopped("the backup was asked to stop; what is stored so far is used by the next one")
        self._job.writer.check()

    def _folder(self, path: str, known: str, wanted: Wanted) -> Folder:
        if isinstance(self._job.writer.packer, NativePacker):
            from holdfast.repo.folders_native import NativeFolder

            return NativeFolder(self._job, self._reader, path, known, wanted)
        return PureFolder(self._job, self._reader, path, known, wanted)

    def _stop_pools(self, *, cancel: bool) -> None:
        for pool in (self._read_pool, self._pool):
            pool.shutdown(wait=True, cancel_futures=cancel)

    def _advance(self, size: int) -> None:
        self._job.meter.add(0, size)

    def _walk(self, root: _Level) -> None:
        """Depth first without recursion, so that the depth of the source is no limit."""
        self._enter(root)
        stack = [root]
        while stack:
            self.check()
            level = stack[-1]
            self._look_ahead(level)
            if not level.ahead:
                stack.pop()
                self._leave(level)
                continue
            below, opened = level.ahead.popleft()
            self._await(opened)
            self._enter(below)
            stack.append(below)

    def _look_ahead(self, level: _Level) -> None:
        """Open the next subfolders, some in one go: handing each over by itself would cost more than opening it."""
        while level.rest and len(level.ahead) < _AHEAD:
            group = [self._below(level, level.rest.popleft()) for _ in range(min(_GROUP, len(level.rest)))]
            opened = self._pool.submit(self._open, [below.folder for below in group])
            level.ahead.extend((below, opened) for below in group)

    def _below(self, level: _Level, place: Subfolder) -> _Level:
        path = os.path.join(level.path, place.name)
        return _Level(self._folder(path, place.known, place.wanted), path, place, level)

    def _open(self, folders: list[Folder]) -> None:
        for folder in folders:
            self.check()
            folder.open()

    def _checked(self, action: Callable[[], None]) -> None:
        self.check()
        action()

    def _enter(self, level: _Level) -> None:
        folder = level.folder
        level.rest.extend(folder.subfolders)
        level.futures = [self._pool.submit(self._checked, task) for task in folder.small]
        level.futures += [self._read_pool.submit(self._checked, task) for task in folder.large]
        folder.small, folder.large = [], []
        self._entries += folder.entries

    def _leave(self, level: _Level) -> None:
        self._waiting.append(level)
        self._job.meter.tick()
        while self._entries > _MOST_ENTRIES and len(self._waiting) > 1:
            self._finish_oldest()

    def _finish_oldest(self) -> None:
        level = self._waiting.popleft()
        if level.folder.lost:
            self._entries -= level.folder.entries
            return
        tree = self._finish(level)
        if level.above is not None and level.place is not None:
            self._job.count_folder(level.place.known, tree)
            level.above.folder.place(level.place, tree)

    def _finish(self, level: _Level) -> str:
        for future in level.futures:
            self._await(future)
        tree = level.folder.finish()
        self._entries -= level.folder.entries
        return tree

    def _await(self, future: "Future[None]") -> None:
        while not future.done():
            self.check()
            self._job.meter.tick()
            wait([future], timeout=0.5)
        future.result()
