"""Backs up paths of a pod's file system into each repository of the call.

A repository that is missing is made first. A result counts as good only when its snapshots list and their root trees read
back from the store; a sample of the packs, where one is asked for, decides on the integrity of the whole. Repositories are
independent: one that fails does not keep the others from being tried. A file that can't be read makes the result a failure,
since a backup that silently lacks something is none; the snapshot with the rest stays.
"""

from datetime import UTC, datetime

import msgspec

from holdfast.core.calls import RepositoryTarget, VolumeBackup
from holdfast.core.report import MAX_REPORT_BYTES, Failure, Progress, Report, RepositoryResult
from holdfast.core.times import format_time
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.failures import failure_of, partial
from holdfast.movers.stores import follow, open_or_init
from holdfast.repo.backup import backup
from holdfast.repo.errors import RepositoryError
from holdfast.repo.maintain import read_root, stats
from holdfast.repo.repository import Repository
from holdfast.repo.result import BackupResult
from holdfast.repo.sample import sample

_RESULT_BYTES, _ID_BYTES = 520, 70
"""What one repository's result and one snapshot id take in a report."""


def run(call: VolumeBackup, context: Context) -> Report:
    """Back up into every repository; the report's failure is the first of theirs."""
    if not call.repositories or not call.paths:
        raise MoverError("NothingToDo", "the call names no repository or no path")
    if len(call.repositories) * (_RESULT_BYTES + _ID_BYTES * len(call.paths)) > MAX_REPORT_BYTES:
        raise MoverError(
            "TooManyPaths",
            f"{len(call.paths)} paths in {len(call.repositories)} repositories give more snapshots than a report can name",
            "name their parent folder instead, and exclude what is not wanted",
        )
    results = tuple(_one(target, call, context) for target in call.repositories)
    return Report(VolumeBackup.MOVER, results, next((result.failure for result in results if result.failure), None))


def _one(target: RepositoryTarget, call: VolumeBackup, context: Context) -> RepositoryResult:
    result = RepositoryResult(target.name, target.component, started=format_time(datetime.now(UTC)))
    try:
        context.check()
        with open_or_init(target, context.stop) as repo:
            for path in call.paths:
                result = _add(result, _path(repo, target, call, path, result, context))
            result = msgspec.structs.replace(result, **_read_back(repo, result, call.sample, context))
    except MoverError as error:
        result = msgspec.structs.replace(result, failure=error.failure)
    except RepositoryError as error:
        result = msgspec.structs.replace(result, failure=failure_of(error))
    result = msgspec.structs.replace(result, finished=format_time(datetime.now(UTC)))
    said = f"failed: {result.failure.message}" if result.failure else f"{result.files} files, {result.stored} bytes stored"
    log(f"repository {target.name} {target.component}: {said}")
    return result


def _path(
    repo: Repository, target: RepositoryTarget, call: VolumeBackup, path: str, before: RepositoryResult, context: Context
) -> BackupResult:
    start = Progress(
        target.name,
        target.component,
        before.files,
        before.files,
        before.bytes,
        before.bytes,
        before.seconds,
    )
    done = backup(
        repo,
        [path],
        excludes=call.excludes,
        host=call.host,
        tags=call.tags,
        progress=follow(target, context.progress, start),
        stop=context.stop,
    )
    for fault in done.errors:
        log(f"not read: {fault.path}: {fault.message}")
    return done


def _add(result: RepositoryResult, done: BackupResult) -> RepositoryResult:
    """Return the result with one more path."""
    failure: Failure | None = result.failure
    if done.partial and failure is None:
        failure = partial("PartialBackup", "files could not be read", done.error_count, done.errors)
    return msgspec.structs.replace(
        result,
        snapshot_ids=(*result.snapshot_ids, done.snapshot_id),
        files=result.files + done.files,
        files_new=result.files_new + done.files_new,
        files_changed=result.files_changed + done.files_changed,
        files_unmodified=result.files_unmodified + done.files_unmodified,
        directories=result.directories + done.dirs_new + done.dirs_changed + done.dirs_unmodified,
        bytes=result.bytes + done.bytes_processed,
        added=result.added + done.added_raw,
        stored=result.stored + done.added_stored,
        seconds=round(result.seconds + done.seconds, 3),
        skipped_files=result.skipped_files + done.error_count,
        failure=failure,
    )


def _read_back(repo: Repository, result: RepositoryResult, most: int, context: Context) -> dict[str, object]:
    """Prove that every snapshot lists and its root reads back, from the store and not from memory; read a sample of packs.

    A damaged pack need not be one of this backup's, so the backup stays good; its integrity is False.
    """
    for ident in result.snapshot_ids:
        read_root(repo, ident)
    sound = True
    if most:
        found = sample(repo, most, stop=context.stop)
        log(f"repository {result.repository} {result.component}: {found.packs} packs of {found.bytes} bytes read as a sample")
        for problem in found.problems:
            log(f"damaged: {problem}; `holdfast repo check --read-data` tells which snapshots need it")
        sound = not found.problems
    return {"integrity": sound, "repository_bytes": stats(repo).bytes}
