"""Backing up paths: the call, and what it leaves out. The order of its steps is in `run`, the walk in `archiver`."""

from collections.abc import Sequence
from typing import Unpack

from holdfast.repo.archiver import Archiver
from holdfast.repo.errors import SourceError
from holdfast.repo.folders import Comparison, Job
from holdfast.repo.patterns import Patterns
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult, Faults, Meter
from holdfast.repo.run import AUTO, Common, Run
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
    parent: str = AUTO,
    one_file_system: bool = False,
    max_file_bytes: int = 0,
    ignore_ctime: bool = False,
    ignore_inode: bool = False,
    **common: Unpack[Common],
) -> BackupResult:
    """Store `paths` as a new snapshot and return what was done; `sources` says where in its tree they stand.

    What is left out: `excludes` are patterns (see `patterns`, and `lists` for files of them); `exclude_if_present` are names of
    files, or `name:header`, that leave out all else in their folder, and `exclude_caches` does so by CACHEDIR.TAG; files larger
    than `max_file_bytes` (0: no limit); with `one_file_system` folders on another device than the path they lie in.

    `parent` is `auto`, an id, or empty to read every file again. A file is unchanged when size, mtime, ctime and inode are;
    `ignore_inode` passes over inode and ctime, `ignore_ctime` over ctime alone. For the rest see `run.Common`.

    Errors on single files, and paths that are missing while others are there, end in the result and make it partial. Raises
    SourceError when none is there, BadRequest for a pattern that can't be read, Stopped when `stop` is set, LockLost,
    RepositoryLocked, or the StoreError of a store that failed.
    """
    patterns, faults = Patterns(excludes, excludes_ignoring_case), Faults()
    markers = _markers(exclude_if_present, caches=exclude_caches)
    sources = find_sources(paths, patterns, faults)
    rules = Rules(patterns, sources.devices if one_file_system else {}, max_file_bytes, markers)
    totals = Totals(sources.kept, rules)
    meter = Meter(common.get("progress"), lambda: (totals.files, totals.bytes, totals.done))
    run = Run(repo, sources.paths, meter, faults, common, excludes=[*excludes, *excludes_ignoring_case])
    with run.begin(parent) as writer:
        comparison = Comparison(ignore_ctime or ignore_inode, ignore_inode)
        job = Job(repo, writer, rules, comparison, faults, meter)
        archiver = Archiver(job, run.chunker, workers=run.workers, stop=run.stop)
        if common.get("progress") is not None:
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
