"""One snapshot in the making, whatever it is made of: the order of the steps.

Lock, load the index, find the parent, store the content, make everything durable, and only then write the snapshot. A failure
before that last write leaves packs that nothing refers to, and nothing else. A dry run takes no lock and writes nothing.
"""

import contextlib
import os
import socket
import threading
import time as clock
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from typing import TypedDict

from holdfast import __version__
from holdfast.repo import keys
from holdfast.repo.chunking import OUR_PROGRAM, Cutter, choose_chunker
from holdfast.repo.config import Chunking
from holdfast.repo.folders import Counts
from holdfast.repo.locks import Lock
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult, Faults, Meter, ProgressHook
from holdfast.repo.retention import retain_new
from holdfast.repo.snapshot import Snapshot, SnapshotJson, Summary, encode_snapshot, find_parent
from holdfast.repo.times import format_time
from holdfast.repo.writer import BlobWriter

AUTO = "auto"
"""Take the newest snapshot of the same host and paths as parent."""


class Common(TypedDict, total=False):
    """What every backup may be told, whatever it stores.

    `host` (this one), `tags` and `time` (now) are recorded in the snapshot. `self_check` (True) opens each sealed blob again.
    With `dry_run` all is read and nothing is written, not even a lock; the result says what would have been added, with an
    empty `snapshot_id`. `workers` (0: one for each processor) seal side by side. `chunking` is which rule cuts large files (see
    `chunking`). `progress` is told how far the run is; once `stop` is set it ends with Stopped.
    """

    host: str
    tags: Sequence[str]
    time: datetime | None
    self_check: bool
    dry_run: bool
    workers: int
    chunking: Chunking
    progress: ProgressHook | None
    stop: threading.Event | None


class Run:
    """Use `begin` as a context, store the content with its writer, and call `end` inside of it."""

    def __init__(
        self,
        repo: Repository,
        sources: list[str],
        meter: Meter,
        faults: Faults,
        common: Common,
        *,
        excludes: Sequence[str] = (),
    ) -> None:
        self._repo, self._sources, self._excludes, self._common = repo, sources, excludes, common
        self._meter, self._faults = meter, faults
        self._started, self._began = datetime.now(UTC), clock.monotonic()
        self._tags = common.get("tags", ())
        self._time, self._host = common.get("time") or self._started, common.get("host") or socket.gethostname()
        self.workers = common.get("workers") or max(2, os.cpu_count() or 2)
        self.stop = common.get("stop") or threading.Event()
        self._lock: Lock | None = None
        self.known: Snapshot | None = None
        self.chunker: Cutter

    @contextlib.contextmanager
    def begin(self, parent: str = AUTO) -> Generator[BlobWriter]:
        """Lock, look at the snapshots, load the index. Leaving it by an exception abandons what is not stored."""
        dry_run, self_check = self._common.get("dry_run", False), self._common.get("self_check", True)
        with contextlib.ExitStack() as held:
            if not dry_run:
                self._lock = held.enter_context(self._repo.lock())
            snapshots = self._repo.snapshots(lambda ident, error: self._faults.add(f"snapshots/{ident}", error))
            self.chunker = choose_chunker(self._repo, self._common.get("chunking", "auto"), snapshots)
            self.known = self._parent(parent, snapshots)
            self._repo.load_index()
            self._writer = held.enter_context(BlobWriter(self._repo, self._lock, self_check=self_check, dry_run=dry_run))
            yield self._writer

    def _parent(self, parent: str, snapshots: Sequence[Snapshot]) -> Snapshot | None:
        if parent == AUTO:
            return find_parent(snapshots, self._host, self._sources, self._time)
        return self._repo.snapshot(parent) if parent else None

    def end(self, tree: str, counts: Counts) -> BackupResult:
        """Make everything durable, then write the snapshot of this tree."""
        self._writer.finish()
        if self._lock is not None:
            self._lock.confirm()
        self._meter.tick(force=True)
        ident = self._repo.put_json("snapshots", encode_snapshot(self._document(tree, counts))) if self._lock else ""
        if ident:
            retain_new(self._repo, [ident], self._started)
        return self._result(ident, tree, counts)

    def _document(self, tree: str, counts: Counts) -> SnapshotJson:
        return SnapshotJson(
            time=format_time(self._time),
            parent=self.known.id if self.known else None,
            tree=tree,
            paths=self._sources,
            hostname=self._host,
            username=keys.user_name(),
            uid=os.getuid(),
            gid=os.getgid(),
            excludes=list(self._excludes) or None,
            tags=list(self._tags) or None,
            program_version=f"{OUR_PROGRAM}{__version__}",
            summary=self._summary(counts),
        )

    def _summary(self, counts: Counts) -> Summary:
        return Summary(
            backup_start=format_time(self._started),
            backup_end=format_time(datetime.now(UTC)),
            files_new=counts.files_new,
            files_changed=counts.files_changed,
            files_unmodified=counts.files_unmodified,
            dirs_new=counts.dirs_new,
            dirs_changed=counts.dirs_changed,
            dirs_unmodified=counts.dirs_unmodified,
            data_blobs=self._writer.blobs["data"],
            tree_blobs=self._writer.blobs["tree"],
            data_added=self._writer.added_raw,
            data_added_packed=self._writer.added_stored,
            total_files_processed=counts.files,
            total_bytes_processed=self._meter.bytes,
        )

    def _result(self, ident: str, tree: str, counts: Counts) -> BackupResult:
        return BackupResult(
            snapshot_id=ident,
            tree=tree,
            parent=self.known.id if self.known else "",
            files_new=counts.files_new,
            files_changed=counts.files_changed,
            files_unmodified=counts.files_unmodified,
            dirs_new=counts.dirs_new,
            dirs_changed=counts.dirs_changed,
            dirs_unmodified=counts.dirs_unmodified,
            bytes_processed=self._meter.bytes,
            added_raw=self._writer.added_raw,
            added_stored=self._writer.added_stored,
            vanished=counts.vanished,
            errors=self._faults.kept,
            error_count=self._faults.count,
            started=self._started,
            finished=datetime.now(UTC),
            seconds=clock.monotonic() - self._began,
        )
