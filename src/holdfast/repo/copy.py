"""Copying snapshots between repositories: another password, another key, another place, the same trees.

Blobs are opened with the source's key, compared with their ids, and sealed with the target's; nothing touches a disk between
the two, and what the target has is not read. Snapshots go oldest first, so that the copies of a chain keep their parents. As
in a backup the order is packs, index, snapshot, each durable before the next: a copy that is killed leaves nothing half made,
and the next one carries only what no index of the target names. Both repositories are locked, shared: neither is pruned.

A snapshot whose data is damaged in the source, or that is deleted while it is copied, is left out and reported; others go on.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.repo.copies import Known, Record, copied_document, read_records
from holdfast.repo.documents import parse_id
from holdfast.repo.errors import Damaged, NoSnapshot, ObjectNotFound, Stopped
from holdfast.repo.locks import Lock
from holdfast.repo.repository import Repository
from holdfast.repo.result import PROGRESS_SECONDS
from holdfast.repo.retention import retain_new
from holdfast.repo.store import path_of
from holdfast.repo.transfer import Transfer
from holdfast.repo.tree import decode_tree
from holdfast.repo.writer import BlobWriter

COMMIT_SECONDS = 120.0
COMMIT_BYTES = 128 << 20
"""Snapshots are written when this much was carried since the last were: earlier means small packs, later more to repeat."""


class CopyProgress(msgspec.Struct, frozen=True):
    """How far a copy is. `bytes_wanted` is what is known to be needed: it grows while trees are walked. Bytes as stored."""

    snapshots_done: int
    snapshots_total: int
    blobs_done: int
    bytes_done: int
    bytes_wanted: int
    seconds: float


class CopiedSnapshot(msgspec.Struct, frozen=True):
    """A snapshot of the source and its copy, by full ids. `new` is whether this run made it; in a dry run `target` is empty."""

    source: str
    target: str
    new: bool


class FailedSnapshot(msgspec.Struct, frozen=True):
    """A snapshot that was not copied, and why."""

    source: str
    message: str


class CopyResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished copy: each chosen snapshot is in `snapshots` or `failures`. Bytes as stored; in a dry run what would go."""

    snapshots: tuple[CopiedSnapshot, ...]
    failures: tuple[FailedSnapshot, ...]
    blobs: int
    bytes_read: int
    bytes_stored: int
    seconds: float

    @property
    def copied(self) -> int:
        """Snapshots that this run made."""
        return sum(1 for snapshot in self.snapshots if snapshot.new)

    @property
    def skipped(self) -> int:
        """Snapshots that the target had."""
        return len(self.snapshots) - self.copied


CopyHook = Callable[[CopyProgress], None]


def copy(
    source: Repository,
    target: Repository,
    snapshot_ids: Sequence[str] | None = None,
    *,
    dry_run: bool = False,
    lock_source: bool = True,
    self_check: bool = True,
    workers: int = 0,
    retry_lock: float | None = None,
    progress: CopyHook | None = None,
    stop: threading.Event | None = None,
) -> CopyResult:
    """Copy snapshots from `source` to `target`: those of `snapshot_ids` (full ids), or all when it is None.

    `dry_run` writes nothing and counts what would go. `lock_source=False` is for sources that may only be read: the caller
    answers for nobody pruning it meanwhile. `workers` threads fetch, open and seal (0: four, or one for each processor).
    `retry_lock` is how many seconds to wait for a lock (None: as each repository was told). At the end the root trees of all
    copies are read back from the target. Raises NoSnapshot for an id that is not there, Stopped when `stop` is set,
    RepositoryLocked, LockLost, SelfCheckFailed, and the StoreError of a store that failed.
    """
    with contextlib.ExitStack() as held:
        locks = [held.enter_context(source.lock(wait_seconds=retry_lock, stop=stop))] if lock_source else []
        own = held.enter_context(target.lock(wait_seconds=retry_lock, stop=stop))
        records = _choose(source, snapshot_ids)
        known = Known(read_records(target))
        target.load_index()
        found = {record.id: made for record in records if (made := known.find(record))}
        wanted = [record for record in records if record.id not in found]
        if wanted:
            source.load_index()
        writer = None if dry_run else held.enter_context(BlobWriter(target, own, self_check=self_check))
        run = _Run(source, target, writer, [*locks, own], wanted, found, progress, stop or threading.Event())
        with Transfer(source, target, writer, workers=workers, self_check=self_check, pause=run.pause) as transfer:
            run.carry(transfer)
        return run.result([record.id for record in records])


def _choose(source: Repository, ids: Sequence[str] | None) -> list[Record]:
    records = read_records(source)
    if ids is None:
        return records
    chosen = set(ids)
    if missing := chosen.difference(record.id for record in records):
        raise NoSnapshot(
            f"{source.store.location}: there is no snapshot {min(missing)[:12]!r}; list the snapshots and give full ids"
        )
    return [record for record in records if record.id in chosen]


class _Run:
    """One copy: which snapshots are carried but not yet written, which are written, which failed."""

    def __init__(
        self,
        source: Repository,
        target: Repository,
        writer: BlobWriter | None,
        locks: list[Lock],
        wanted: list[Record],
        found: dict[str, str],
        hook: CopyHook | None,
        stop: threading.Event,
    ) -> None:
        self._source, self._target, self._writer, self._locks = source, target, writer, locks
        self._wanted, self._copies, self._hook, self._stop = wanted, dict(found), hook, stop
        self._new: set[str] = set()
        self._carried: list[Record] = []
        self._failures: list[FailedSnapshot] = []
        self._started = self._told = self._written_at = time.monotonic()
        self._began = datetime.now(UTC)
        self._written_bytes = 0
        self._transfer: Transfer | None = None

    def pause(self) -> None:
        """Between reads: stop where that is wished or a lock is lost, and tell how far we are."""
        if self._stop.is_set():
            raise Stopped("the copy was asked to stop; what is stored so far is used by the next one")
        for lock in self._locks:
            lock.ensure()
        if time.monotonic() - self._told >= PROGRESS_SECONDS:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        if self._hook is not None and self._transfer is not None:
            moved = self._transfer.moved
            done = len(self._new) + len(self._failures)
            seconds = self._told - self._started
            self._hook(CopyProgress(done, len(self._wanted), moved.blobs, moved.bytes, moved.wanted_bytes, seconds))

    def carry(self, transfer: Transfer) -> None:
        """Carry all wanted snapshots, and write them in groups."""
        self._transfer = transfer
        for record in self._wanted:
            self.pause()
            try:
                transfer.tree(record.tree)
            except Damaged as error:
                self._fail(record, str(error))
                continue
            self._carried.append(record)
            if self._due(transfer.moved.bytes):
                self._commit()
        self._commit()
        self._read_back()
        retain_new(self._target, [self._copies[ident] for ident in self._new if ident in self._copies], self._began)
        self._tell()

    def _fail(self, record: Record, message: str) -> None:
        self._failures.append(FailedSnapshot(record.id, message))

    def _due(self, carried: int) -> bool:
        return carried - self._written_bytes >= COMMIT_BYTES or time.monotonic() - self._written_at >= COMMIT_SECONDS

    def _commit(self) -> None:
        """Make what was carried durable, then write the snapshots."""
        group, self._carried = self._carried, []
        if self._writer is None:
            self._new.update(record.id for record in group)
            return
        if not group:
            return
        self._writer.finish()
        for lock in self._locks:
            lock.confirm()
        for record in group:
            self.pause()
            if self._still_there(record):
                parent = self._copies.get(record.fields.parent or "", "")
                self._copies[record.id] = self._target.put_json("snapshots", copied_document(record, parent))
                self._new.add(record.id)
        if self._transfer is not None:
            self._written_bytes = self._transfer.moved.bytes
        self._written_at = time.monotonic()

    def _still_there(self, record: Record) -> bool:
        try:
            self._source.store.size(path_of("snapshots", record.id))
        except ObjectNotFound:
            place = self._source.store.location
            self._fail(
                record, f"{place}: snapshot {record.short_id} was deleted while it was copied; the target does not get it"
            )
            return False
        return True

    def _read_back(self) -> None:
        """Prove the copies by what the target's store holds, not by what this process remembers of writing it."""
        if self._writer is None or not self._new:
            return
        self._target.load_index()
        for ident in self._new:
            made = self._target.snapshot(self._copies[ident])
            decode_tree(self._target.load_blob(parse_id(made.tree)))

    def result(self, chosen: list[str]) -> CopyResult:
        """What was done, for all chosen snapshots in their order."""
        failed = {failure.source for failure in self._failures}
        moved = self._transfer.moved if self._transfer else None
        blobs, size = (moved.blobs, moved.bytes) if moved and self._writer else (0, 0)
        if moved and not self._writer:
            blobs, size = moved.wanted_blobs, moved.wanted_bytes
        return CopyResult(
            snapshots=tuple(
                CopiedSnapshot(ident, self._copies.get(ident, ""), ident in self._new)
                for ident in chosen
                if ident not in failed
            ),
            failures=tuple(self._failures),
            blobs=blobs,
            bytes_read=size,
            bytes_stored=self._writer.added_stored if self._writer else 0,
            seconds=time.monotonic() - self._started,
        )
