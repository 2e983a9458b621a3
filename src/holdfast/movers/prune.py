"""Gives the space of forgotten snapshots back, when restic is installed in the mover's image.

The work is the repository library's: it waits for other holders of a lock, never breaks one, and leaves a damaged repository
alone.
"""

from holdfast.core.calls import RepositoryTarget
from holdfast.movers.context import Context, log
from holdfast.movers.stores import LOCK_PATIENCE_SECONDS, environment, password
from holdfast.repo.errors import MissingProgram
from holdfast.repo.prune import prune as prune_repository
from holdfast.repo.repository import Repository
from holdfast.repo.stock import Access


def prune(target: RepositoryTarget, repo: Repository, context: Context) -> None:
    """Prune an open repository. Raises the errors of `repo`; where restic is missing it only says so."""
    access = Access(target.store.url, environment(target.store), password(target))
    try:
        done = prune_repository(repo, access, wait_seconds=LOCK_PATIENCE_SECONDS, stop=context.stop)
    except MissingProgram as error:
        log(f"repository {target.name} {target.component}: space is not given back: {error}")
        return
    log(f"repository {target.name} {target.component}: pruned, {done.freed_bytes} bytes freed")
