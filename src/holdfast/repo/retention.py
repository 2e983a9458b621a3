"""Keep what a snapshot needs for longer, in a store with object lock.

A new snapshot shares packs with older ones, and those were retained when they were written: without an extension a pack
could be destroyed while a snapshot that is still retained needs it. So each backup and each copy extends what its snapshots
reach to their own date; then every retained snapshot can be restored from retained objects alone.
"""

import datetime
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from holdfast.repo.errors import Damaged, RepositoryError, StoreError
from holdfast.repo.repository import Repository
from holdfast.repo.store import CONFIG, path_of
from holdfast.repo.stores.wrapped import RetainingStore, find_inner
from holdfast.repo.tree import decode_tree

THREADS = 8


def retain_new(repo: Repository, ids: Iterable[str], since: datetime.datetime) -> None:
    """Keep new snapshots, which were begun at `since`, and what they share with older ones; nothing where no store retains.

    Raises StoreError when that fails: the snapshots are there all the same.
    """
    store, named = find_inner(repo.store, RetainingStore), list(ids)
    if store is None or not named:
        return
    try:
        extend_retention(repo, named, store.until(since))
    except RepositoryError as error:
        some = ", ".join(ident[:8] for ident in named[:5])
        raise StoreError(
            f"snapshot {some} is stored, but the retention of what it shares with older ones could not be extended: {error}; "
            "run `holdfast repo retain`"
        ) from error


def extend_retention(repo: Repository, ids: Iterable[str], until: datetime.datetime) -> set[str]:
    """Keep snapshots, and all that restoring them takes, at least until `until`; returns the paths whose date was moved.

    That is `config`, every key, every index, and the packs with the trees and contents of the snapshots. No date is made
    earlier. Raises StoreError for a store without object lock, NoSnapshot, Damaged for a snapshot that is not whole.
    """
    store = find_inner(repo.store, RetainingStore)
    if store is None:
        raise StoreError(
            f"{repo.store.location}: it was opened with no object lock, so nothing can be retained: name mode and days"
        )
    snapshots = [repo.snapshot(ident) for ident in ids]
    repo.load_index()
    paths = {CONFIG, *(path_of("snapshots", snapshot.id) for snapshot in snapshots)}
    for kind in ("keys", "index"):
        paths |= {path_of(kind, entry.name) for entry in repo.store.list(kind)}
    paths |= {path_of("data", pack.hex()) for pack in _packs(repo, [bytes.fromhex(snapshot.tree) for snapshot in snapshots])}

    def move(path: str) -> str:
        return path if store.retain(path, until) else ""

    with ThreadPoolExecutor(THREADS) as pool:
        return set(filter(None, pool.map(move, sorted(paths))))


def retain_again(repo: Repository) -> int:
    """Keep what retained snapshots need by now, each until its own date: after a prune that is other packs and indexes.

    Returns how many snapshots are retained; 0 where no store retains. Raises the errors of `extend_retention`.
    """
    store = find_inner(repo.store, RetainingStore)
    if store is None:
        return 0
    dates = {snapshot.id: store.retained_until(path_of("snapshots", snapshot.id)) for snapshot in repo.snapshots()}
    kept = {ident: until for ident, until in dates.items() if until is not None}
    for ident, until in kept.items():
        extend_retention(repo, [ident], until)
    return len(kept)


def _packs(repo: Repository, roots: Iterable[bytes]) -> set[bytes]:
    """The packs in which all trees below the roots and all their files' blobs lie."""
    packs: set[bytes] = set()
    seen = set(roots)
    stack = list(seen)
    while stack:
        ident = stack.pop()
        packs.add(_pack(repo, ident))
        for node in decode_tree(repo.load_blob(ident)):
            packs.update(_pack(repo, bytes.fromhex(blob)) for blob in node.content or ())
            if node.subtree and (below := bytes.fromhex(node.subtree)) not in seen:
                seen.add(below)
                stack.append(below)
    return packs


def _pack(repo: Repository, ident: bytes) -> bytes:
    found = repo.index.find(ident)
    if found is None:
        raise Damaged(f"{repo.store.location}: blob {ident.hex()[:12]} is in no index; run `holdfast repo check`")
    return found.pack
