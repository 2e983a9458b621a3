"""Is everything there, and is it what it says it is?

The small objects are read and compared with their names first. Then the structure: every pack that an index names is in the
store and as long as its blobs need, every tree and every blob that a snapshot reaches is indexed and of the size that its file
has. With `read_data`, or a subset, packs are read: the hash of each compared with its name, its header with the index, and
every blob opened and hashed. What is found is named together with the snapshots that it hurts and a few of the paths.
"""

import hashlib
import os
import threading
from collections.abc import Callable

from holdfast.repo.check_packs import PackChecker
from holdfast.repo.check_trees import TreeChecker
from holdfast.repo.errors import Damaged, ObjectNotFound, Stopped
from holdfast.repo.findings import CheckProgress, CheckResult, Findings
from holdfast.repo.index import decode_index
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot, decode_snapshot
from holdfast.repo.store import path_of
from holdfast.repo.subset import ALL, Subset

CheckHook = Callable[[CheckProgress], None]
"""Is told how far the check is, from one thread."""


def check(
    repo: Repository,
    *,
    read_data: bool = False,
    subset: Subset = ALL,
    seed: int | None = None,
    workers: int = 0,
    lock: bool = True,
    progress: CheckHook | None = None,
    stop: threading.Event | None = None,
) -> CheckResult:
    """Check a repository, under a shared lock unless `lock` is off, for stores that can't be written.

    `read_data` reads all packs, or those of `subset` (see `subset`), which implies it; `seed` makes a random draw repeatable.
    `workers` is how many packs are read at once, one for each processor unless given; each holds at most a window of a pack and
    one blob. Damage is never raised but ends in the result; raised are Stopped, RepositoryLocked, and the StoreError of a store
    that does not answer.
    """
    run = _Check(repo, progress, stop or threading.Event())
    chosen = subset if subset.kind != "all" or read_data else None
    if not lock:
        return run.run(chosen, seed, workers)
    with repo.lock():
        return run.run(chosen, seed, workers)


class _Check:
    def __init__(self, repo: Repository, progress: CheckHook | None, stop: threading.Event) -> None:
        self._repo, self._progress, self._stop = repo, progress, stop
        self._findings = Findings()
        self._mutex = threading.Lock()
        self._bytes = self._bytes_total = 0

    def run(self, subset: Subset | None, seed: int | None, workers: int) -> CheckResult:
        findings = self._findings
        self._keys()
        snapshots, lost = self._snapshots()
        self._index()
        sizes = {bytes.fromhex(entry.name): entry.size for entry in self._repo.store.list("data")}
        packs = PackChecker(self._repo, findings, self._read, self._check)
        sound, orphans = packs.structure(sizes)
        chosen: set[bytes] = subset.choose({pack: size for pack, size, _ in sound}, seed) if subset else set()
        work = [pack for pack in sound if pack[0] in chosen]
        self._bytes_total = sum(size for _, size, _ in work)
        packs.read(work, workers or max(2, os.cpu_count() or 2))
        trees = TreeChecker(self._repo, findings, lambda done: self._tell(CheckProgress("trees", done, 0, 0, 0)), self._check)
        trees.walk(snapshots)
        hurt = trees.hurt(snapshots) if findings.count else []
        return CheckResult(
            findings=findings.kept,
            finding_count=findings.count,
            hurt=(*lost, *hurt),
            snapshots=len(snapshots) + len(lost),
            packs=len(sizes),
            blobs=packs.blobs,
            trees=trees.walked,
            orphans=orphans,
            duplicates=packs.duplicates,
            packs_read=len(work),
            bytes_read=self._bytes,
        )

    def _keys(self) -> None:
        """Compare the key files with their names: one that is damaged no longer opens with its password."""
        for entry in self._repo.store.list("keys"):
            try:
                data = self._repo.store.get(path_of("keys", entry.name))
            except ObjectNotFound:
                continue
            except Damaged as error:
                self._findings.add("key", entry.name, f"key {entry.name[:12]} can't be read: {error}")
                continue
            if hashlib.sha256(data).hexdigest() != entry.name:
                self._findings.add("key", entry.name, f"key {entry.name[:12]}: its content does not fit its name")

    def _snapshots(self) -> tuple[list[Snapshot], list[str]]:
        """The snapshots, oldest first, and the ids of those that can't be read."""
        found: list[Snapshot] = []
        lost: list[str] = []
        for entry in self._repo.store.list("snapshots"):
            try:
                found.append(decode_snapshot(entry.name, self._repo.load_json(path_of("snapshots", entry.name))))
            except ObjectNotFound:
                continue
            except Damaged as error:
                number = self._findings.add("snapshot", entry.name, f"snapshot {entry.name[:12]} can't be read: {error}")
                self._findings.hurts(number, entry.name, "")
                lost.append(entry.name)
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id)), lost

    def _index(self) -> None:
        """Load the index objects, without those that can't be read."""
        try:
            self._repo.load_index()
        except Damaged:
            self._good_indexes()

    def _good_indexes(self) -> None:
        good: list[str] = []
        for entry in self._repo.store.list("index"):
            path = path_of("index", entry.name)
            try:
                decode_index(self._repo.load_json(path))
                good.append(path)
            except ObjectNotFound:
                continue
            except Damaged as error:
                self._findings.add("index", entry.name, f"index {entry.name[:12]} can't be read: {error}")
        self._repo.load_index(good)

    def _read(self, size: int) -> None:
        with self._mutex:
            self._bytes += size
        self._tell(CheckProgress("packs", 0, 0, self._bytes, self._bytes_total))

    def _tell(self, progress: CheckProgress) -> None:
        if self._progress is not None:
            with self._mutex:
                self._progress(progress)

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped("the check was asked to stop before it was done")
