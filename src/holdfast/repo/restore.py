"""Bringing a snapshot back into a folder: the call, what it refuses, and what it returns. The work is in `restoring`."""

import os
import threading
import time
from collections.abc import Sequence

from holdfast.repo.errors import BadRequest
from holdfast.repo.overwrite import RULES, Overwrite
from holdfast.repo.repository import Repository
from holdfast.repo.restore_options import ActionHook, Options
from holdfast.repo.restoring import Run
from holdfast.repo.result import Meter, ProgressHook, RestoreResult
from holdfast.repo.selection import Selection
from holdfast.repo.snapshot import Snapshot


def restore(
    repo: Repository,
    snapshot: str,
    target: str,
    *,
    subfolder: str = "",
    paths: Sequence[str] = (),
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    iinclude: Sequence[str] = (),
    iexclude: Sequence[str] = (),
    overwrite: Overwrite = "always",
    delete: bool = False,
    staging: bool = False,
    dry_run: bool = False,
    verify: bool = True,
    sparse: bool = True,
    workers: int = 0,
    lock: bool = True,
    progress: ProgressHook | None = None,
    on_action: ActionHook | None = None,
    stop: threading.Event | None = None,
) -> RestoreResult:
    """Restore `snapshot` (`latest`, an id or its beginning, or one of these and `:/folder`) into `target`, made when missing.

    With a folder, as `subfolder` or after the colon (an absolute path within the snapshot), its content lands directly in
    `target`; otherwise the full paths are made below it. `paths` are absolute paths within the snapshot, of which each must
    exist; `include` and `exclude` are patterns (see `patterns`), and `iinclude` and `iexclude` the same without regard to case.

    `overwrite` is the rule for files that are there already (see `overwrite`), `delete` removes from restored folders what the
    snapshot does not have (see `cleaning`), but only while nothing went wrong. `staging` restores into a hidden folder first
    and moves all into place when it is complete (see `staging`). `dry_run` writes nothing, and counts and tells what would be
    done. `verify` reads back what was written; `sparse` leaves blocks of zeros as holes. Owners are set as root; as another
    user those that can't be set are counted in the result. `lock=False` is for stores that can't be written.

    Raises BadRequest for options that don't go together, NoSnapshot, Stopped, RepositoryLocked, or the StoreError of a store
    that failed.
    """
    began = time.monotonic()
    ident, _, below = snapshot.partition(":")
    folder = subfolder or below
    selection = Selection(paths=paths, include=include, exclude=exclude, iinclude=iinclude, iexclude=iexclude)
    _check_request(target, selection, overwrite, delete=delete, staging=staging, both=bool(subfolder and below))
    found = repo.snapshot(ident)
    run = Run(
        repo,
        Options(selection, overwrite, delete, staging, dry_run, verify, sparse, workers),
        _meter(progress, found, folder, selection),
        on_action,
        stop or threading.Event(),
    )
    if lock and not dry_run:
        with repo.lock():
            repo.load_index()
            run.run(found, folder, target)
    else:
        run.run(found, folder, target)
    return run.result(found.id, time.monotonic() - began)


def _check_request(target: str, wanted: Selection, overwrite: str, *, delete: bool, staging: bool, both: bool) -> None:
    narrowed = wanted.paths or wanted.include or wanted.iinclude
    if overwrite not in RULES:
        raise BadRequest(f"there is no overwrite rule {overwrite!r}; there are {', '.join(RULES)}")
    if both:
        raise BadRequest("a folder of the snapshot is given twice, after the snapshot's id and apart from it: leave one out")
    if delete and os.path.realpath(target) == "/" and not narrowed:
        raise BadRequest("deleting in / would remove the whole system: name paths or include patterns, or another target")
    if delete and staging:
        raise BadRequest("staging is for a new or empty target, where there is nothing to delete: leave one of the two out")


def _meter(progress: ProgressHook | None, found: Snapshot, folder: str, selection: Selection) -> Meter:
    full = not folder and selection == Selection() and found.summary is not None
    files, size = (found.summary.total_files_processed, found.summary.total_bytes_processed) if found.summary else (0, 0)
    return Meter(progress, lambda: (files, size, True) if full else (0, 0, False))
