"""Looking at the locks of a repository, and removing those whose holders are gone.

Whoever takes a lock removes stale ones anyway. This is for people: to see who is there, and to free a repository whose holder
left no proof of its end, which nobody but they can know.
"""

import contextlib
from datetime import UTC, datetime

import msgspec

from holdfast.repo.errors import ObjectNotFound
from holdfast.repo.locks import LockJson, read_locks, stale_reason
from holdfast.repo.repository import Repository
from holdfast.repo.store import path_of


class HeldLock(msgspec.Struct, frozen=True):
    """A lock by its id. `stale` says why it may be removed; it is empty for one whose holder may live."""

    id: str
    lock: LockJson
    stale: str


class Unlocked(msgspec.Struct, frozen=True):
    """Which locks were removed, and which were left because their holders may live."""

    removed: tuple[HeldLock, ...]
    kept: tuple[HeldLock, ...]


def list_locks(repo: Repository) -> list[HeldLock]:
    """All locks, oldest first. One that can't be read is shown as exclusive, of unknown age and never stale."""
    now = datetime.now(UTC)
    found = [
        HeldLock(name, lock, stale_reason(lock, now, repo.dead_hosts)) for name, lock in read_locks(repo.store, repo.load_json)
    ]
    return sorted(found, key=lambda held: (held.lock.time, held.id))


def unlock(repo: Repository, *, remove_all: bool = False) -> Unlocked:
    """Remove stale locks, or with `remove_all` every lock.

    `remove_all` harms a writer that lives: it stops at its next write, but what it wrote may be pruned meanwhile. It is for
    somebody who knows that all holders are gone.
    """
    removed: list[HeldLock] = []
    kept: list[HeldLock] = []
    for held in list_locks(repo):
        if not (held.stale or remove_all):
            kept.append(held)
            continue
        with contextlib.suppress(ObjectNotFound):
            repo.store.delete(path_of("locks", held.id))
            removed.append(held)
    return Unlocked(tuple(removed), tuple(kept))
