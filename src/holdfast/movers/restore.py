"""Restores snapshots to their original absolute paths and reads back what it wrote.

Each path of a snapshot is restored into its own folder, so that parents which are only mount points are left alone. Anything
that could not be written or did not verify makes the whole a failure: no partial restore is handed to an application.
"""

import os

import msgspec

from holdfast.core.calls import VolumeRestore
from holdfast.core.report import Progress, Report, RepositoryResult
from holdfast.movers.context import Context, log
from holdfast.movers.failures import failure_of, mover_error, partial
from holdfast.movers.stores import open_repository, progress_of
from holdfast.repo.errors import RepositoryError
from holdfast.repo.repository import Repository
from holdfast.repo.restore import restore
from holdfast.repo.result import Progress as RepositoryProgress
from holdfast.repo.result import ProgressHook, RestoreResult
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.tree import decode_tree


def run(call: VolumeRestore, context: Context) -> Report:
    """Restore every snapshot, in order; the first failure ends it."""
    target = call.repository
    result = RepositoryResult(target.name, target.component)
    try:
        with open_repository(target, context.stop) as repo:
            for ident in call.snapshot_ids:
                snapshot = repo.snapshot(ident)
                result = msgspec.structs.replace(result, snapshot_ids=(*result.snapshot_ids, snapshot.id))
                for path in snapshot.paths:
                    context.check()
                    hook = _follow(call, context, snapshot, result)
                    result = _add(result, _one(repo, call, context, snapshot, path, hook))
    except RepositoryError as error:
        found = failure_of(error)
        log(f"repository {target.name} {target.component}: {found.message}")
        raise mover_error(error) from error
    log(f"repository {target.name} {target.component}: {result.files} files, {result.bytes} bytes restored and read back")
    return Report(VolumeRestore.MOVER, (result,), result.failure)


def _one(
    repo: Repository, call: VolumeRestore, context: Context, snapshot: Snapshot, path: str, hook: ProgressHook
) -> RestoreResult:
    folder, include = path, call.include
    if not _is_folder(repo, snapshot, path):
        folder, include = os.path.dirname(path), (path,)
    return restore(
        repo,
        snapshot.id,
        os.path.join(call.target, folder.lstrip("/")),
        subfolder=folder,
        include=include,
        exclude=call.exclude,
        verify=call.verify,
        progress=hook,
        stop=context.stop,
    )


def _is_folder(repo: Repository, snapshot: Snapshot, path: str) -> bool:
    """Whether a path of a snapshot is a folder: a file can't be restored into itself."""
    tree = snapshot.tree
    for part in path.strip("/").split("/") if path.strip("/") else ():
        nodes = decode_tree(repo.load_blob(bytes.fromhex(tree)))
        subtree = next((node.subtree for node in nodes if node.file_name == part), None)
        if subtree is None:
            return False
        tree = subtree
    return True


def _follow(call: VolumeRestore, context: Context, snapshot: Snapshot, before: RepositoryResult) -> ProgressHook:
    """Return the hook of one path; a snapshot of one path knows from its own summary how much there is to come."""
    start = Progress(
        call.repository.name,
        call.repository.component,
        before.files,
        before.files,
        before.bytes,
        before.bytes,
        before.seconds,
    )
    summary = None if call.include or call.exclude or len(snapshot.paths) > 1 else snapshot.summary

    def hook(done: RepositoryProgress) -> None:
        if summary is not None:
            done = msgspec.structs.replace(
                done, files_total=summary.total_files_processed, bytes_total=summary.total_bytes_processed, totals_known=True
            )
        context.progress(progress_of(start, done))

    return hook


def _add(result: RepositoryResult, done: RestoreResult) -> RepositoryResult:
    failure = result.failure
    if done.partial and failure is None:
        failure = partial("PartialRestore", "files could not be restored or did not verify", done.error_count, done.errors)
    for fault in done.errors:
        log(f"not restored: {fault.path}: {fault.message}")
    return msgspec.structs.replace(
        result,
        files=result.files + done.files,
        directories=result.directories + done.directories,
        bytes=result.bytes + done.bytes_restored,
        seconds=round(result.seconds + done.seconds, 3),
        skipped_files=result.skipped_files + done.error_count,
        integrity=failure is None,
        failure=failure,
    )
