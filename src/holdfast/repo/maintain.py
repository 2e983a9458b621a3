"""What else one asks of a repository: its snapshots, whether one reads back, how large it is, and to forget some.

`forget` removes snapshot objects only; the caller decided which. Space comes back when the repository is pruned, which
stock restic does under an exclusive lock.
"""

import contextlib
from collections.abc import Iterable, Sequence

import msgspec

from holdfast.repo.documents import parse_id
from holdfast.repo.errors import ObjectNotFound
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.store import KINDS, path_of
from holdfast.repo.tree import Node, decode_tree


class Stats(msgspec.Struct, frozen=True):
    """What a repository holds: objects and bytes at the store."""

    snapshots: int
    packs: int
    bytes: int
    objects: int


def snapshots(repo: Repository) -> list[Snapshot]:
    """All snapshots, oldest first."""
    return repo.snapshots()


def read_root(repo: Repository, snapshot_id: str) -> list[Node]:
    """Prove that a snapshot reads back: it is listed under its full id, and its root tree opens; returns the root's entries.

    The index is read anew, so that what this process remembers of its own writing proves nothing. Raises NoSnapshot or Damaged.
    """
    snapshot = repo.snapshot(snapshot_id)
    repo.load_index()
    return decode_tree(repo.load_blob(parse_id(snapshot.tree)))


def forget(repo: Repository, ids: Iterable[str]) -> list[str]:
    """Remove snapshots by full id; returns those that were there. Needs no exclusive lock: nothing that others read goes."""
    gone: list[str] = []
    with repo.lock() as lock:
        for ident in ids:
            lock.ensure()
            with contextlib.suppress(ObjectNotFound):
                repo.store.delete(path_of("snapshots", ident))
                gone.append(ident)
    return gone


def stats(repo: Repository) -> Stats:
    """Count objects and bytes by listing the store."""
    sizes: dict[str, Sequence[int]] = {kind: [entry.size for entry in repo.store.list(kind)] for kind in KINDS}
    return Stats(
        snapshots=len(sizes["snapshots"]),
        packs=len(sizes["data"]),
        bytes=sum(map(sum, sizes.values())),
        objects=sum(map(len, sizes.values())),
    )
