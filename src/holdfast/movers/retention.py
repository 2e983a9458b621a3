"""Forgets snapshots and gives their space back, and keeps the records of Snapshots beside the repositories.

Forgetting removes the snapshot objects and is what the report promises. Pruning what only they held needs an exclusive lock
and is done by stock restic, whose prune is proven; where it isn't installed the space stays taken, and the log says so.
"""

import msgspec

from holdfast.core.calls import Forget, Records, Retention
from holdfast.core.report import Report, RepositoryResult
from holdfast.movers.context import Context, MoverError, log
from holdfast.movers.documents import open_documents
from holdfast.movers.failures import failure_of
from holdfast.movers.metadata import encode
from holdfast.movers.prune import prune
from holdfast.movers.stores import open_repository
from holdfast.repo.errors import Damaged, NoRepository, RepositoryError
from holdfast.repo.maintain import forget, stats
from holdfast.repo.repository import Repository
from holdfast.repo.retention import retain_again


def run(call: Retention, context: Context) -> Report:
    """Clean up each repository by itself; the report's failure is the first of theirs."""
    if call.records is not None:
        _write(call.records)
    results = tuple(_one(each, context) for each in call.forget)
    if call.records is not None:
        kept = {name for each, result in zip(call.forget, results, strict=True) if result.failure for name in _names(each)}
        _delete(call.records, kept)
    return Report(Retention.MOVER, results, next((result.failure for result in results if result.failure), None))


def _write(records: Records) -> None:
    """Record what was backed up beside the data, so that another cluster can find it."""
    place = open_documents(records.store)
    for name, document in records.write.items():
        place.write(_path(name), encode(document))
    log(f"{records.store.url}: recorded {', '.join(records.write) or 'nothing'}")


def _delete(records: Records, kept: set[str]) -> None:
    """Delete the records of Snapshots whose data is gone from every repository."""
    place = open_documents(records.store)
    for name in records.delete:
        if name not in kept:
            place.delete(_path(name))


def _path(name: str) -> str:
    return f"snapshots/{name}.yaml"


def _names(forget: Forget) -> list[str]:
    return [snapshot.name for snapshot in forget.snapshots]


def _one(wanted: Forget, context: Context) -> RepositoryResult:
    target = wanted.repository
    result = RepositoryResult(target.name, target.component)
    try:
        context.check()
        with open_repository(target, context.stop) as repo:
            ids = [ident for snapshot in wanted.snapshots for ident in snapshot.snapshot_ids]
            gone = forget(repo, [*ids, *_tagged(repo, wanted)])
            result = msgspec.structs.replace(result, deleted=tuple(snapshot.name for snapshot in wanted.snapshots))
            if gone:
                prune(target, repo, context)
                if kept := retain_again(repo):
                    log(f"repository {target.name} {target.component}: {kept} snapshots are locked in the bucket")
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


def _tagged(repo: Repository, wanted: Forget) -> list[str]:
    """Return the snapshots that go because of a tag."""
    if not wanted.tags:
        return []

    def pass_over(ident: str, error: Damaged) -> None:
        log(f"snapshot {ident[:8]} is passed over: {error}")

    return [each.id for each in repo.snapshots(pass_over) if set(wanted.tags) & set(each.tags) and each.id not in wanted.keep]
