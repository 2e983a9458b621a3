"""Making a snapshot: the call, and the order of its steps.

Lock, load the index, find the parent, store the content (`archiver`), make everything durable, and only then write the
snapshot. A failure before that last write leaves packs that nothing refers to, and nothing else.
"""

import os
import socket
import threading
import time as clock
from collections.abc import Sequence
from datetime import UTC, datetime

from holdfast import __version__
from holdfast.repo import keys
from holdfast.repo.archiver import Archiver, Counts
from holdfast.repo.chunking import OUR_PROGRAM, choose_chunker
from holdfast.repo.config import Chunking
from holdfast.repo.errors import SourceError
from holdfast.repo.patterns import Patterns
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult, Faults, Meter, ProgressHook
from holdfast.repo.scan import Rules, Totals
from holdfast.repo.snapshot import Snapshot, SnapshotJson, Summary, encode_snapshot, find_parent
from holdfast.repo.times import format_time
from holdfast.repo.writer import BlobWriter

AUTO = "auto"
"""Take the newest snapshot of the same host and paths as parent."""


def backup(
    repo: Repository,
    paths: Sequence[str],
    *,
    excludes: Sequence[str] = (),
    host: str = "",
    tags: Sequence[str] = (),
    time: datetime | None = None,
    parent: str = AUTO,
    one_file_system: bool = False,
    max_file_bytes: int = 0,
    self_check: bool = True,
    workers: int = 0,
    chunking: Chunking = "auto",
    progress: ProgressHook | None = None,
    stop: threading.Event | None = None,
) -> BackupResult:
    """Store `paths` (made absolute) as a new snapshot and return what was done.

    `excludes` are patterns (see `patterns`); `parent` is `auto`, an id, or empty to read every file again; `chunking` is which
    rule cuts large files (see `chunking`). Errors on single files end in the result and make it partial. Raises SourceError
    when a path is missing, Stopped when `stop` is set, LockLost, RepositoryLocked, or the StoreError of a store that failed.
    """
    sources = [os.path.abspath(path) for path in paths]
    rules = _rules(sources, excludes, one_file_system, max_file_bytes)
    started, began = datetime.now(UTC), clock.monotonic()
    moment, hostname = time or started, host or socket.gethostname()
    faults, totals = Faults(), Totals(sources, rules)
    meter = Meter(progress, lambda: (totals.files, totals.bytes, totals.done))
    with repo.lock() as lock:
        snapshots = repo.snapshots()
        chunker = choose_chunker(repo, chunking, snapshots)
        known = _parent(repo, parent, hostname, sources, moment, snapshots)
        repo.load_index()
        with BlobWriter(repo, lock, self_check=self_check) as writer:
            archiver = Archiver(repo, writer, rules, faults, meter, chunker, workers=workers, stop=stop or threading.Event())
            if progress is not None:
                totals.start()
            try:
                tree = archiver.run(sources, known.tree if known else "")
            finally:
                totals.stop()
            writer.finish()
            lock.ensure()
            meter.tick(force=True)
            counts = archiver.counts
            summary = _summary(counts, writer, meter.bytes, started, datetime.now(UTC))
            document = SnapshotJson(
                time=format_time(moment),
                parent=known.id if known else None,
                tree=tree,
                paths=sources,
                hostname=hostname,
                username=keys.user_name(),
                uid=os.getuid(),
                gid=os.getgid(),
                excludes=list(excludes) or None,
                tags=list(tags) or None,
                program_version=f"{OUR_PROGRAM}{__version__}",
                summary=summary,
            )
            ident = repo.put_json("snapshots", encode_snapshot(document))
    return _result(ident, tree, known, counts, writer, meter.bytes, faults, started, clock.monotonic() - began)


def _rules(sources: list[str], excludes: Sequence[str], one_file_system: bool, max_file_bytes: int) -> Rules:
    if not sources:
        raise SourceError("there is nothing to back up: no path was given")
    devices: set[int] = set()
    for path in sources:
        try:
            devices.add(os.lstat(path).st_dev)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}: the path to back up can't be read") from error
    return Rules(Patterns(excludes), frozenset(devices if one_file_system else ()), max_file_bytes)


def _parent(
    repo: Repository, parent: str, host: str, paths: list[str], moment: datetime, snapshots: Sequence[Snapshot]
) -> Snapshot | None:
    if parent == AUTO:
        return find_parent(snapshots, host, paths, moment)
    return repo.snapshot(parent) if parent else None


def _summary(counts: Counts, writer: BlobWriter, size: int, started: datetime, finished: datetime) -> Summary:
    return Summary(
        backup_start=format_time(started),
        backup_end=format_time(finished),
        files_new=counts.files_new,
        files_changed=counts.files_changed,
        files_unmodified=counts.files_unmodified,
        dirs_new=counts.dirs_new,
        dirs_changed=counts.dirs_changed,
        dirs_unmodified=counts.dirs_unmodified,
        data_blobs=writer.blobs["data"],
        tree_blobs=writer.blobs["tree"],
        data_added=writer.added_raw,
        data_added_packed=writer.added_stored,
        total_files_processed=counts.files,
        total_bytes_processed=size,
    )


def _result(
    ident: str,
    tree: str,
    known: Snapshot | None,
    counts: Counts,
    writer: BlobWriter,
    size: int,
    faults: Faults,
    started: datetime,
    seconds: float,
) -> BackupResult:
    return BackupResult(
        snapshot_id=ident,
        tree=tree,
        parent=known.id if known else "",
        files_new=counts.files_new,
        files_changed=counts.files_changed,
        files_unmodified=counts.files_unmodified,
        dirs_new=counts.dirs_new,
        dirs_changed=counts.dirs_changed,
        dirs_unmodified=counts.dirs_unmodified,
        bytes_processed=size,
        added_raw=writer.added_raw,
        added_stored=writer.added_stored,
        vanished=counts.vanished,
        errors=faults.kept,
        error_count=faults.count,
        started=started,
        finished=datetime.now(UTC),
        seconds=seconds,
    )
