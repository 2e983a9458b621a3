"""How much a set of snapshots holds, counted in one of three ways.

`restore-size`: the files as a restore would write them, snapshot by snapshot, hard links once. `files-by-contents`: files with
the same content once over all snapshots. `raw-data`: the blobs that the snapshots need, each once, as they lie in the
repository, with their size before compression.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from holdfast.repo.browse import Item, Trees
from holdfast.repo.documents import parse_id
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot

Mode = Literal["restore-size", "files-by-contents", "raw-data"]
MODES: tuple[Mode, ...] = ("restore-size", "files-by-contents", "raw-data")


class Counted(msgspec.Struct, frozen=True):
    """The result: bytes, and how many entries or blobs they are. `plain_bytes` is 0 except for `raw-data`."""

    snapshots: int
    bytes: int
    entries: int
    blobs: int = 0
    plain_bytes: int = 0


def count(repo: Repository, trees: Trees, snapshots: Iterable[Snapshot], mode: Mode) -> Counted:
    """Count what the snapshots hold. Raises Damaged."""
    chosen = list(snapshots)
    if mode == "restore-size":
        return _restore_size(trees, chosen)
    return _by_contents(trees, chosen) if mode == "files-by-contents" else _raw(repo, trees, chosen)


def _restore_size(trees: Trees, snapshots: list[Snapshot]) -> Counted:
    size = entries = 0
    for snapshot in snapshots:
        linked: set[tuple[int, int]] = set()
        for item in trees.walk(snapshot.tree):
            entries += 1
            node = item.node
            if node.links > 1 and not item.is_folder:
                if (node.device_id, node.inode) in linked:
                    continue
                linked.add((node.device_id, node.inode))
            size += node.size
    return Counted(len(snapshots), size, entries)


def _by_contents(trees: Trees, snapshots: list[Snapshot]) -> Counted:
    seen: set[bytes] = set()
    size = 0
    for item in _once(trees, snapshots):
        if item.node.type == "file":
            content = hashlib.sha256("".join(item.node.content or ()).encode()).digest()
            if content not in seen:
                seen.add(content)
                size += item.node.size
    return Counted(len(snapshots), size, len(seen))


def _raw(repo: Repository, trees: Trees, snapshots: list[Snapshot]) -> Counted:
    blobs = {parse_id(snapshot.tree) for snapshot in snapshots}
    for item in _once(trees, snapshots):
        blobs.update(map(parse_id, item.node.content or ()))
        if item.node.subtree:
            blobs.add(parse_id(item.node.subtree))
    found = [at for at in map(repo.index.find, blobs) if at is not None]
    return Counted(len(snapshots), sum(at.length for at in found), 0, len(found), sum(at.plain_length for at in found))


def _once(trees: Trees, snapshots: list[Snapshot]) -> Iterator[Item]:
    """The entries of all snapshots; a folder that occurs twice with the same content is entered once."""
    seen: set[str] = set()

    def enter(item: Item) -> bool:
        new = item.node.subtree not in seen
        seen.add(item.node.subtree or "")
        return new

    for snapshot in snapshots:
        if snapshot.tree not in seen:
            seen.add(snapshot.tree)
            yield from trees.walk(snapshot.tree, enter=enter)
