"""The trees of a check: everything that a snapshot reaches is there and sound.

Every tree is read once, however many snapshots share it. Only when something was found are the snapshots walked again, one by
one, to name those that it hurts and a few of the paths; trees that are known to be whole are not entered then. Memory: 32 bytes
and the cost of a set per tree, and the trees on the way down.
"""

from collections.abc import Callable, Iterator
from itertools import chain

import msgspec
import numpy as np

from holdfast.repo.crypto import OVERHEAD
from holdfast.repo.documents import decode
from holdfast.repo.errors import Damaged, RepositoryError
from holdfast.repo.findings import Findings
from holdfast.repo.index import TREE_BIT
from holdfast.repo.names import unquote_name
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.trees import TreeReader


class _Node(msgspec.Struct, frozen=True, gc=False):
    name: str
    type: str
    size: int = 0
    content: list[str] | None = None
    subtree: str | None = None


class _Tree(msgspec.Struct, frozen=True):
    nodes: list[_Node] | None


_decoder = msgspec.json.Decoder(_Tree)
Below = list[tuple[bytes, str]]
"""The trees of folders, with their names."""


class TreeChecker:
    """Walks trees. `told(trees)` hears how many were walked, `check` raises when the check is to stop. For one thread."""

    def __init__(self, repo: Repository, findings: Findings, told: Callable[[int], None], check: Callable[[], None]) -> None:
        self._repo, self._findings, self._told, self._check = repo, findings, told, check
        self._trees = TreeReader(repo)
        self._seen: set[bytes] = set()

    @property
    def walked(self) -> int:
        """How many different trees were walked."""
        return len(self._seen)

    def walk(self, snapshots: list[Snapshot]) -> None:
        """Look at every tree that the snapshots reach, and record what is wrong."""
        todo = [root for snapshot in snapshots if (root := self._root(snapshot)) is not None]
        while todo:
            self._check()
            tree = todo.pop()
            if tree in self._seen:
                continue
            self._seen.add(tree)
            self._told(len(self._seen))
            try:
                nodes = self._load(tree)
            except RepositoryError as error:
                self._tree_is_lost(tree, str(error))
                continue
            todo += [child for child, _ in self._examine(tree, nodes)]

    def hurt(self, snapshots: list[Snapshot]) -> list[str]:
        """The ids of the snapshots that need something that is broken; the findings are told. After `walk`."""
        whole: set[bytes] = set()
        return [snapshot.id for snapshot in snapshots if self._is_hurt(snapshot, whole)]

    def _root(self, snapshot: Snapshot) -> bytes | None:
        try:
            return _id(snapshot.tree)
        except Damaged:
            number = self._findings.add(
                "snapshot", snapshot.id, f"snapshot {snapshot.short_id}: {snapshot.tree!r} is no tree id"
            )
            self._findings.hurts(number, snapshot.id, "/")
            return None

    def _load(self, tree: bytes) -> list[_Node]:
        return decode(_decoder, self._trees.load_bytes(tree), "it").nodes or []

    def _tree_is_lost(self, tree: bytes, why: str) -> None:
        """Record a tree that can't be read, unless the finding that broke it is recorded."""
        if tree not in self._findings.broken:
            number = self._findings.add("tree", tree.hex(), f"tree {tree.hex()[:12]}: {why}")
            self._findings.break_blob(tree, number)

    def _examine(self, tree: bytes, nodes: list[_Node]) -> Below:
        """Record what is wrong in a tree that can be read; returns the trees below."""
        wrong: list[str] = []
        names = [node.name for node in nodes]
        if len(set(names)) != len(names):
            wrong.append("it holds a name twice")
        below: Below = []
        for node in nodes:
            if node.type == "dir":
                try:
                    below.append((_id(node.subtree or ""), node.name))
                except Damaged as error:
                    wrong.append(f"folder {node.name!r}: {error}")
        wrong += self._contents([node for node in nodes if node.type == "file"])
        for text in wrong:
            number = self._findings.add("tree", tree.hex(), f"tree {tree.hex()[:12]}: {text}")
            self._findings.break_blob(tree, number)
        return below

    def _contents(self, files: list[_Node]) -> Iterator[str]:
        """What is wrong with the blobs of files, all of one folder; blobs that are in no index are recorded as broken."""
        text = "".join(chain.from_iterable(file.content or () for file in files))
        try:
            ids = bytes.fromhex(text)
        except ValueError:
            ids = b""
        counts = np.fromiter((len(file.content or ()) for file in files), np.int64, len(files))
        if len(ids) != 32 * counts.sum() or len(text) != 2 * len(ids):
            yield "the list of blobs of a file in it is not readable"
            return
        found = np.frombuffer(self._repo.index.find_many(ids), np.uint32).reshape(-1, 4).astype(np.int64)
        missing = (found[:, 2] == 0) | (found[:, 2] >= TREE_BIT)
        rows: list[int] = np.flatnonzero(missing).tolist()
        for row in rows:
            self._blob_is_lost(ids[row * 32 : row * 32 + 32])
        plain = np.where(found[:, 3] > 0, found[:, 3], found[:, 2] - OVERHEAD)
        total = np.concatenate(([0], np.cumsum(np.where(missing, 0, plain))))
        lacks = np.concatenate(([0], np.cumsum(missing)))
        stops = np.cumsum(counts)
        sizes: list[int] = (total[stops] - total[stops - counts]).tolist()
        gaps: list[int] = (lacks[stops] - lacks[stops - counts]).tolist()
        for file, size, gap in zip(files, sizes, gaps, strict=True):
            if file.size != size and not gap:
                yield f"file {file.name!r}: its blobs hold {size} bytes, its entry says {file.size}"

    def _blob_is_lost(self, blob: bytes) -> None:
        if blob not in self._findings.broken:
            number = self._findings.add("blob", blob.hex(), f"blob {blob.hex()[:12]} is in no index")
            self._findings.break_blob(blob, number)

    def _is_hurt(self, snapshot: Snapshot, whole: set[bytes]) -> bool:
        """Walk one snapshot depth first, without entering trees that are known to be whole."""
        try:
            root = _id(snapshot.tree)
        except Damaged:
            return True
        stack = [_Frame(root, "", self._enter(snapshot, root, ""))]
        done: set[bytes] = {root}
        hurt = False
        while stack:
            self._check()
            frame = stack[-1]
            step = next(frame.below, None)
            if step is None:
                stack.pop()
                hurt = frame.is_hurt or hurt
                if stack and frame.is_hurt:
                    stack[-1].is_hurt = True
                elif not frame.is_hurt:
                    whole.add(frame.tree)
                continue
            child, name = step
            if child in whole:
                continue
            if child in done:
                frame.is_hurt = True
                continue
            done.add(child)
            path = f"{frame.path}/{_shown(name)}"
            stack.append(_Frame(child, path, self._enter(snapshot, child, path)))
        return hurt

    def _enter(self, snapshot: Snapshot, tree: bytes, path: str) -> tuple[bool, Below]:
        """Whether a tree itself is hurt, and the trees below; tells the findings."""
        broken = self._findings.broken
        hurt = tree in broken
        if hurt:
            self._findings.hurts(broken[tree], snapshot.id, f"{path}/")
        try:
            nodes = self._load(tree)
        except RepositoryError:
            return True, []
        below: Below = []
        for node in nodes:
            for ident in node.content or ():
                number = broken.get(_from_hex(ident))
                if number is not None:
                    hurt = True
                    self._findings.hurts(number, snapshot.id, f"{path}/{_shown(node.name)}")
            if node.type == "dir" and len(child := _from_hex(node.subtree or "")) == 32:
                below.append((child, node.name))
        return hurt, below


class _Frame:
    """A tree on the way down."""

    __slots__ = ("below", "is_hurt", "path", "tree")

    def __init__(self, tree: bytes, path: str, entered: tuple[bool, Below]) -> None:
        self.tree, self.path = tree, path
        self.is_hurt, below = entered
        self.below = iter(below)


def _from_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _id(text: str) -> bytes:
    ident = _from_hex(text)
    if len(ident) != 32:
        raise Damaged(f"{text!r} is no tree id")
    return ident


def _shown(name: str) -> str:
    """A name of a tree as people read it."""
    try:
        return unquote_name(name)
    except Damaged:
        return name
