"""Looking around in snapshots: every entry with its path, without restoring anything.

The trees are walked depth first, in the order in which they are stored; memory grows with the depth of a snapshot, not with its
size. Names come from the repository and are not trusted: one that is no plain component is reported as damage.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec

from holdfast.repo.documents import decode, parse_id
from holdfast.repo.errors import Damaged, NoSuchPath
from holdfast.repo.patterns import Patterns, refuse_taking_back
from holdfast.repo.repository import Repository
from holdfast.repo.snapshot import Snapshot
from holdfast.repo.times import parse_time
from holdfast.repo.tree import Node
from holdfast.repo.trees import TreeReader


class FullNode(Node, frozen=True):
    """An entry with everything that a listing shows. Times are RFC 3339, names of owners may be empty."""

    atime: str = ""
    ctime: str = ""
    user: str = ""
    group: str = ""


class _Tree(msgspec.Struct, frozen=True):
    nodes: list[FullNode] | None


_decoder = msgspec.json.Decoder(_Tree)


class Item(msgspec.Struct, frozen=True):
    """An entry and where it is: `path` is absolute within the snapshot, written as os.fsdecode writes names."""

    path: str
    node: FullNode

    @property
    def is_folder(self) -> bool:
        """Whether something may be below."""
        return self.node.type == "dir"


Enter = Callable[[Item], bool]
"""Says whether a walk goes into a folder."""


class Trees:
    """The trees of a repository whose index is loaded. For one thread."""

    def __init__(self, repo: Repository) -> None:
        self._where, self._reader = repo.store.location, TreeReader(repo)

    def load(self, ident: str) -> list[FullNode]:
        """The entries of a tree by its id in hexadecimal. Raises Damaged."""
        return decode(_decoder, self._reader.load_bytes(parse_id(ident)), f"{self._where}: tree {ident[:12]}").nodes or []

    def resolve(self, tree: str, path: str) -> Item | None:
        """The entry at a path below a tree, None for the tree itself. Raises NoSuchPath."""
        item: Item | None = None
        for part in _parts(path):
            folder = tree if item is None else item.node.subtree
            found = next((child for child in self.children(folder, item.path if item else "") if _name(child) == part), None)
            if found is None:
                raise NoSuchPath(f"there is no {path!r} in the snapshot: look around with `ls`")
            item = found
        return item

    def children(self, tree: str | None, base: str) -> Iterator[Item]:
        """The entries of one folder; none where an entry has no tree."""
        for node in self.load(tree) if tree else ():
            name = node.file_name
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise Damaged(f"{self._where}: {base or '/'}: the name {name!r} in a tree is no file name")
            yield Item(f"{base}/{name}", node)

    def walk(self, tree: str, base: str = "", enter: Enter = lambda _: True) -> Iterator[Item]:
        """Every entry below a tree, a folder before what is in it. `enter` is asked once for each folder."""
        stack = [self.level(tree, base, enter)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                continue
            item, inside = step
            yield item
            if inside:
                stack.append(self.level(item.node.subtree or "", item.path, enter))

    def level(self, tree: str, base: str, enter: Enter) -> Iterator[tuple[Item, bool]]:
        """The entries of one folder, each with whether it is a folder to be entered."""
        for item in self.children(tree, base):
            yield item, item.is_folder and bool(item.node.subtree) and enter(item)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part and part != "."]


def _name(item: Item) -> str:
    return item.path.rpartition("/")[2]


def start(trees: Trees, snapshot: Snapshot, subfolder: str) -> str:
    """The tree that `snapshot:subfolder` names. Raises NoSuchPath for what is missing or no folder."""
    item = trees.resolve(snapshot.tree, subfolder)
    if item is None:
        return snapshot.tree
    if not item.is_folder or not item.node.subtree:
        raise NoSuchPath(f"{subfolder!r} in snapshot {snapshot.short_id} is no folder but a {item.node.type}")
    return item.node.subtree


def ls(
    trees: Trees, snapshot: Snapshot, subfolder: str = "", folders: Sequence[str] = (), *, recursive: bool = False
) -> Iterator[Item]:
    """The entries of a snapshot, whole or below `subfolder`.

    With `folders` (absolute paths) only these are listed: each itself and what is directly in it, or all below with
    `recursive`. Raises NoSuchPath for a folder that is not there, Damaged.
    """
    tree = start(trees, snapshot, subfolder)
    if not folders:
        yield from trees.walk(tree)
        return
    for folder in folders:
        item = trees.resolve(tree, folder)
        if item is not None:
            yield item
        if item is None or item.node.subtree:
            below = item.node.subtree if item is not None else None
            yield from trees.walk(below or tree, item.path if item else "", lambda _: recursive)


class Query(msgspec.Struct, frozen=True):
    """What `find` looks for: patterns (see `patterns`) on paths, and bounds on the modification time, both inclusive."""

    patterns: tuple[str, ...]
    ignore_case: bool = False
    oldest: datetime | None = None
    newest: datetime | None = None


class Finder:
    """Searches snapshot after snapshot; folders that were seen to hold nothing are not read again.

    Raises BadRequest for a pattern that can't be read.
    """

    def __init__(self, trees: Trees, query: Query) -> None:
        self._trees, self._query = trees, query
        self._patterns = Patterns((), query.patterns) if query.ignore_case else Patterns(query.patterns)
        refuse_taking_back(self._patterns)
        self._barren: set[tuple[str, str]] = set()

    def search(self, snapshot: Snapshot, subfolder: str = "") -> list[Item]:
        """The entries of a snapshot that match; what lies below a matching folder matches too."""
        found: list[Item] = []
        self._search(start(self._trees, snapshot, subfolder), "", False, found)
        return found

    def _search(self, tree: str, base: str, inside: bool, found: list[Item]) -> None:
        """Without recursion; a folder is left once everything below was seen, and then it is known whether it is barren."""
        stack = [(tree, base, inside, self._level(tree, base, inside), len(found))]
        while stack:
            ident, path, taken, items, before = stack[-1]
            step = next(items, None)
            if step is None:
                stack.pop()
                if len(found) == before:
                    self._barren.add((ident, path))
                continue
            item, entered = step
            matched = taken or self._patterns.match(item.path)
            if matched and self._in_time(item.node):
                found.append(item)
            if entered:
                below = item.node.subtree or ""
                stack.append((below, item.path, matched, self._level(below, item.path, matched), len(found)))

    def _level(self, tree: str, base: str, taken: bool) -> Iterator[tuple[Item, bool]]:
        return self._trees.level(tree, base, lambda item: self._worth(item, taken))

    def _worth(self, item: Item, taken: bool) -> bool:
        if (item.node.subtree or "", item.path) in self._barren:
            return False
        return taken or self._patterns.match(item.path) or self._patterns.match_below(item.path)

    def _in_time(self, node: FullNode) -> bool:
        oldest, newest = self._query.oldest, self._query.newest
        if oldest is None and newest is None:
            return True
        try:
            moment = parse_time(node.mtime)
        except ValueError:
            return False
        return (oldest is None or moment >= oldest) and (newest is None or moment <= newest)
