"""Backing up paths: the call, and what it leaves out. The order of its steps is in `run`, the walk in `archiver`."""

import threading
from collections.abc import Sequence
from datetime import datetime

from holdfast.repo.archiver import Archiver
from holdfast.repo.config import Chunking
from holdfast.repo.errors import SourceError
from holdfast.repo.folders import Comparison, Job
from holdfast.repo.patterns import Patterns
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult, Faults, Meter, ProgressHook
from holdfast.repo.run import AUTO, Run
from holdfast.repo.scan import CACHE_MARKER, Marker, Rules, Totals
from holdfast.repo.sources import find_sources

__all__ = ["AUTO", "backup"]


def backup(
    repo: Repository,
    paths: Sequence[str],
    *,
    excludes: Sequence[str] = (),
    excludes_ignoring_case: Sequence[str] = (),
    exclude_if_present: Sequence[str] = (),
    exclude_caches: bool = False,
    host: str = "",
    tags: Sequence[str] = (),
    time: datetime | None = None,
    parent: str = AUTO,
    one_file_system: bool = False,
    max_file_bytes: int = 0,
    ignore_ctime: bool = False,
    ignore_inode: bool = False,
    self_check: bool = True,
    dry_run: bool = False,
    workers: int = 0,
    chunking: Chunking = "auto",
    progress: ProgressHook | None = None,
    stop: threading.Event | None = None,
) -> BackupResult:
    """Store `paths` as a new snapshot and return what was done; `sources` says where in its tree they stand.

    What is left out: `excludes` are patterns (see `patterns`, and `lists` for files of them); `exclude_if_present` are names of
    files, or `name:header`, that leave out all else in their folder, and `exclude_caches` does so by CACHEDIR.TAG; files larger
    than `max_file_bytes` (0: no limit); with `one_file_system` folders on another device than the path they lie in.

    `parent` is `auto`, an id, or empty to read every file again. A file is unchanged when size, mtime, ctime and inode are;
    `ignore_inode` passes over inode and ctime, `ignore_ctime` over ctime alone. `chunking` is which rule cuts large files (see
    `chunking`). With `dry_run` all is read and nothing is written, not even a lock; the result says what would have been
    added, with an empty `snapshot_id`.

    Errors on single files, and paths that are missing while others are there, end in the result and make it partial. Raises
    SourceError when none is there, BadRequest for a pattern that can't be read, Stopped when `stop` is set, LockLost,
    RepositoryLocked, or the StoreError of a store that failed.
    """
    patterns, faults = Patterns(excludes, excludes_ignoring_case), Faults()
    markers = _markers(exclude_if_present, caches=exclude_caches)
    sources = find_sources(paths, patterns, faults)
    rules = Rules(patterns, sources.devices if one_file_system else {}, max_file_bytes, markers)
    totals = Totals(sources.kept, rules)
    meter = Meter(progress, lambda: (totals.files, totals.bytes, totals.done))
    run = Run(repo, sources.paths, host, tags, time, [*excludes, *excludes_ignoring_case], meter, faults)
    with run.begin(parent, chunking, dry_run=dry_run, self_check=self_check) as writer:
        comparison = Comparison(ignore_ctime or ignore_inode, ignore_inode)
        job = Job(repo, writer, rules, comparison, faults, meter)
        archiver = Archiver(job, run.chunker, workers=workers, stop=stop or threading.Event())
        if progress is not None:
            totals.start()
        try:
            tree = archiver.run(sources, run.known.tree if run.known else "")
        finally:
            totals.stop()
        return run.end(tree, job.counts)


def _markers(names: Sequence[str], *, caches: bool) -> tuple[Marker, ...]:
    found = [Marker(name, header.encode()) for name, _, header in (each.partition(":") for each in names)]
    for marker in found:
        if not marker.name or "/" in marker.name:
            raise SourceError(f"{marker.name!r} marks no folder: give the name of a file, without a path")
    return (*found, CACHE_MARKER) if caches else tuple(found)
