"""Is everything there, and is it what it says it is?

The structure: every pack that an index names is in the store and as long as its blobs need, every tree and every blob that a
snapshot reaches is indexed. With `read_data` every pack is read, its hash compared with its name, its header with the index,
and every blob opened and hashed. What is found is named together with the snapshots that it hurts.
"""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from holdfast.repo import keys
from holdfast.repo.errors import Damaged, ObjectNotFound, RepositoryError, StoreError
from holdfast.repo.index import Location
from holdfast.repo.pack import PackEntry, read_header
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.store import path_of
from holdfast.repo.tree import decode_tree

MOST_PROBLEMS = 200


class CheckResult(msgspec.Struct, frozen=True):
    """What a check saw. `orphans` are packs that no index names: left by killed writers, harmless, removed by prune."""

    problems: tuple[str, ...]
    hurt: tuple[str, ...]
    snapshots: int
    packs: int
    blobs: int
    orphans: int
    bytes_read: int

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


class _Check:
    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.problems: list[str] = []
        self.broken: set[bytes] = set()
        self.bytes_read = 0
        self._trees: dict[bytes, tuple[bool, list[tuple[bytes, str]]]] = {}

    def find(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def packs(self, sizes: dict[bytes, int], *, read_data: bool) -> int:
        """Compare index and store; returns the number of packs that no index names."""
        present = dict(sizes)
        work: list[tuple[bytes, list[PackEntry]]] = []
        for pack, entries in self.repo.index.by_pack():
            size = present.pop(pack, None)
            needed = max(entry.offset + entry.length for entry in entries)
            if size is None:
                self.find(f"pack {pack.hex()[:12]} with {len(entries)} blobs is missing")
            elif size < needed:
                self.find(f"pack {pack.hex()[:12]} has {size} bytes, its blobs need {needed}: it was cut short")
            else:
                work.append((pack, entries))
                continue
            self.broken.update(entry.id for entry in entries)
        if read_data:
            with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
                list(pool.map(self._pack, work))
        return len(present)

    def _pack(self, work: tuple[bytes, list[PackEntry]]) -> None:
        pack, entries = work
        name = pack.hex()[:12]
        try:
            data = memoryview(self.repo.store.get(path_of("data", pack.hex())))
        except (StoreError, Damaged) as error:
            self.find(f"pack {name} can't be read: {error}")
            self.broken.update(entry.id for entry in entries)
            return
        self.bytes_read += len(data)
        if hashlib.sha256(data).digest() != pack:
            self.find(f"pack {name}: its content does not fit its name: it was changed")
        try:
            held = {entry.id for entry in read_header(data, self.repo.key)}
            if not held.issuperset(entry.id for entry in entries):
                self.find(f"pack {name}: the index names blobs that its header does not")
        except Damaged as error:
            self.find(f"pack {name}: {error}")
        for entry in entries:
            at = Location(entry.kind, pack, entry.offset, entry.length, entry.raw_length)
            try:
                self.repo.open_blob(entry.id, at, data[entry.offset : entry.offset + entry.length])
            except Damaged as error:
                self.find(str(error))
                self.broken.add(entry.id)

    def snapshot(self, snapshot: Snapshot) -> bool:
        """Whether everything that a snapshot reaches is sound."""
        try:
            root = bytes.fromhex(snapshot.tree)
        except ValueError:
            self.find(f"snapshot {snapshot.short_id}: {snapshot.tree!r} is no tree id")
            return False
        return self._tree(root, f"snapshot {snapshot.short_id}:")

    def _tree(self, root: bytes, label: str) -> bool:
        """Walk all trees below one; each tree is read once, however many snapshots share it."""
        sound = True
        seen = {root}
        stack = [(root, label)]
        while stack:
            ident, path = stack.pop()
            known = self._trees.get(ident)
            if known is None:
                known = self._trees[ident] = self._nodes(ident, path)
            own, below = known
            sound = sound and own
            for child, name in below:
                if child not in seen:
                    seen.add(child)
                    stack.append((child, f"{path}/{name}"))
        return sound

    def _nodes(self, ident: bytes, path: str) -> tuple[bool, list[tuple[bytes, str]]]:
        """Whether a tree and the files in it are sound, and the trees below."""
        below: list[tuple[bytes, str]] = []
        try:
            nodes = decode_tree(self.repo.load_blob(ident))
        except RepositoryError as error:
            self.find(f"{path}/: {error}")
            return False, below
        sound = True
        for node in nodes:
            if node.subtree:
                below.append((bytes.fromhex(node.subtree), node.name))
            missing = [blob for blob in map(bytes.fromhex, node.content or ()) if not self._has(blob)]
            if missing:
                sound = False
                count, first = len(missing), missing[0].hex()[:12]
                self.find(f"{path}/{node.name}: {count} of its blobs are missing or damaged, first {first}")
        return sound, below

    def _has(self, blob: bytes) -> bool:
        return blob not in self.broken and blob in self.repo.index


def check(repo: Repository, *, read_data: bool = False, progress: Callable[[int, int], None] | None = None) -> CheckResult:
    """Check a repository under a shared lock; `progress` is told snapshots done and their number."""
    with repo.lock():
        snapshots = repo.snapshots()
        repo.load_index()
        sizes = {bytes.fromhex(entry.name): entry.size for entry in repo.store.list("data")}
        run = _Check(repo)
        for name in keys.damaged(repo.store):
            run.find(f"key file {name[:12]} was changed: its content does not fit its name")
        try:
            orphans = run.packs(sizes, read_data=read_data)
        except ObjectNotFound as error:
            raise Damaged(f"{repo.store.location}: the repository changed during the check: {error}") from error
        hurt: list[str] = []
        for number, snapshot in enumerate(snapshots):
            if not run.snapshot(snapshot):
                hurt.append(snapshot.id)
            if progress is not None:
                progress(number + 1, len(snapshots))
        return CheckResult(
            problems=tuple(run.problems),
            hurt=tuple(hurt),
            snapshots=len(snapshots),
            packs=len(sizes),
            blobs=len(repo.index),
            orphans=orphans,
            bytes_read=run.bytes_read,
        )
