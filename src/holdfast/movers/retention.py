"""Forgets snapshots and gives their space back.

Forgetting removes the snapshot objects and is what the report promises. Pruning what only they held needs an exclusive lock
and is done by stock restic, whose prune is proven; where it isn't installed the space stays taken, and the log says so.
"""

import msgspec

from holdfast.core.calls import Forget, Retention
from holdfast.core.report import Report, RepositoryResult
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.failures import failure_of
from holdfast.movers.prune import prune
from holdfast.movers.stores import open_repository
from holdfast.repo.errors import NoRepository, RepositoryError
from holdfast.repo.maintain import forget, stats


def run(call: Retention, context: Context) -> Report:
    """Clean up each repository by itself; the report's failure is the first of theirs."""
    results = tuple(_one(each, context) for each in call.forget)
    return Report(Retention.MOVER, results, next((result.failure for result in results if result.failure), None))


def _one(wanted: Forget, context: Context) -> RepositoryResult:
    target = wanted.repository
    result = RepositoryResult(target.name, target.component)
    try:
        context.check()
        with open_repository(target, context.stop) as repo:
            ids = [ident for snapshot in wanted.snapshots for ident in snapshot.snapshot_ids]
            gone = forget(repo, ids)
            result = msgspec.structs.replace(result, deleted=tuple(snapshot.name for snapshot in wanted.snapshots))
            if gone:
                prune(target, repo, context)
            result = msgspec.structs.replace(result, repository_bytes=stats(repo).bytes)
        log(f"repository {target.name} {target.component}: {len(gone)} snapshots forgotten")
    except NoRepository as error:
        if any(snapshot.snapshot_ids for snapshot in wanted.snapshots):
            result = msgspec.structs.replace(result, failure=failure_of(error))
    except MoverError as error:
        result = msgspec.structs.replace(result, failure=error.failure)
    except RepositoryError as error:
        result = msgspec.structs.replace(result, failure=failure_of(error))
    return result
