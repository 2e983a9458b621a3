"""Backing up paths: the call, and what it leaves out. The order of its steps is in `run`, the walk in `archiver`."""

import os
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
    """Store `paths` (made absolute) as a new snapshot and return what was done.

    What is left out: `excludes` are patterns (see `patterns`, and `lists` for files of them); `exclude_if_present` are names of
    files, or `name:header`, that leave out all else in their folder, and `exclude_caches` does so by CACHEDIR.TAG; files larger
    than `max_file_bytes` (0: no limit); with `one_file_system` folders on other devices than the paths.

    `parent` is `auto`, an id, or empty to read every file again. A file is unchanged when size, mtime, ctime and inode are;
    `ignore_inode` passes over inode and ctime, `ignore_ctime` over ctime alone. `chunking` is which rule cuts large files (see
    `chunking`). With `dry_run` all is read and nothing is written, not even a lock; the result says what would have been
    added, with an empty `snapshot_id`.

    Errors on single files end in the result and make it partial. Raises SourceError when a path is missing, Stopped when `stop`
    is set, LockLost, RepositoryLocked, or the StoreError of a store that failed.
    """
    sources = [os.path.abspath(path) for path in paths]
    markers = _markers(exclude_if_present, caches=exclude_caches)
    rules = _rules(sources, Patterns(excludes, excludes_ignoring_case), one_file_system, max_file_bytes, markers)
    faults, totals = Faults(), Totals(sources, rules)
    meter = Meter(progress, lambda: (totals.files, totals.bytes, totals.done))
    run = Run(repo, sources, host, tags, time, [*excludes, *excludes_ignoring_case], meter, faults)
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


def _rules(
    sources: list[str], excludes: Patterns, one_file_system: bool, max_file_bytes: int, markers: tuple[Marker, ...]
) -> Rules:
    if not sources:
        raise SourceError("there is nothing to back up: no path was given")
    devices: set[int] = set()
    for path in sources:
        try:
            devices.add(os.lstat(path).st_dev)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}: the path to back up can't be read") from error
    return Rules(excludes, frozenset(devices if one_file_system else ()), max_file_bytes, markers)
