"""What changed from one snapshot to another, without reading any file's content.

Folders with the same tree id are equal: the changes are found without entering them, and only the sums of bytes look inside,
since a blob that is new in one place may be old in another. Each change carries the
letters that people know from the stock program: `+` added, `-` removed, `M` content modified, `U` only metadata updated, `T`
type changed, `?` content changed while all metadata stayed (which is what rotten disks look like).
"""

import os
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from holdfast.repo.browse import FullNode, Item, Trees
from holdfast.repo.repository import Repository


class Change(msgspec.Struct, frozen=True):
    """One entry that differs. `path` of a folder ends in a slash; `letters` are one or two of `+ - M U T ?`."""

    path: str
    letters: str


class Side(msgspec.Struct):
    """What only one of the snapshots has. `bytes` are those of its blobs before compression."""

    files: int = 0
    dirs: int = 0
    others: int = 0
    data_blobs: int = 0
    tree_blobs: int = 0
    bytes: int = 0


class Compared(msgspec.Struct, frozen=True):
    """The sums of a comparison. `changed` counts files whose content differs."""

    changed: int
    added: Side
    removed: Side


_Step: TypeAlias = Change | tuple[str, str, str]
"""A change, or a folder that both have with other trees: these, and its path."""


class Comparison:
    """Compares two trees; `sums` is complete when `changes` has been read to its end."""

    def __init__(self, repo: Repository, trees: Trees, *, metadata: bool = False) -> None:
        self._repo, self._trees, self._metadata = repo, trees, metadata
        self._changed = 0
        self._added, self._removed = Side(), Side()
        self._blobs: tuple[set[str], set[str]] = (set(), set())
        self._shared: set[str] = set()

    def changes(self, before: str, after: str, base: str = "") -> Iterator[Change]:
        """Every change from the tree `before` to the tree `after`, in order of paths. Raises Damaged."""
        stack = [self._level(before, after, base)]
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
            elif isinstance(step, Change):
                yield step
            else:
                stack.append(self._level(*step))

    def _level(self, before: str, after: str, base: str) -> Iterator[_Step]:
        if before == after:
            return
        self._blobs[0].add("t" + before)
        self._blobs[1].add("t" + after)
        old = {item.path: item for item in self._trees.children(before, base)}
        new = {item.path: item for item in self._trees.children(after, base)}
        paths = sorted(old.keys() | new.keys(), key=os.fsencode)
        for path in paths:
            was, now = old.get(path), new.get(path)
            if was is not None and now is not None:
                yield from self._both(was, now)
            elif was is not None:
                yield from self._only(was, "-", self._removed, 0)
            elif now is not None:
                yield from self._only(now, "+", self._added, 1)

    def _both(self, was: Item, now: Item) -> Iterator[_Step]:
        one, two = was.node, now.node
        letters = self._letters(one, two)
        self._note(one, 0)
        self._note(two, 1)
        if letters:
            slash = "/" if now.is_folder else ""
            yield Change(now.path + slash, letters)
        if was.is_folder and now.is_folder:
            if one.subtree == two.subtree:
                self._shared.add(one.subtree or "")
            else:
                yield one.subtree or "", two.subtree or "", now.path
        elif was.is_folder:
            yield from self._below(was, "-", self._removed, 0)
        elif now.is_folder:
            yield from self._below(now, "+", self._added, 1)

    def _letters(self, one: FullNode, two: FullNode) -> str:
        letters = "T" if one.type != two.type else ""
        same = _metadata(one) == _metadata(two)
        if one.type == two.type == "file" and (one.content or []) != (two.content or []):
            self._changed += 1
            return letters + ("?" if same else "M")
        return letters + ("U" if self._metadata and not same else "")

    def _only(self, item: Item, letter: str, side: Side, number: int) -> Iterator[Change]:
        yield self._counted(item, letter, side, number)
        yield from self._below(item, letter, side, number)

    def _below(self, item: Item, letter: str, side: Side, number: int) -> Iterator[Change]:
        if item.node.subtree:
            for below in self._trees.walk(item.node.subtree, item.path):
                yield self._counted(below, letter, side, number)

    def _counted(self, item: Item, letter: str, side: Side, number: int) -> Change:
        if item.node.type == "file":
            side.files += 1
        elif item.is_folder:
            side.dirs += 1
        else:
            side.others += 1
        self._note(item.node, number)
        return Change(item.path + ("/" if item.is_folder else ""), letter)

    def _note(self, node: FullNode, number: int) -> None:
        blobs = self._blobs[number]
        blobs.update("d" + ident for ident in node.content or ())
        if node.subtree:
            blobs.add("t" + node.subtree)

    @property
    def sums(self) -> Compared:
        """Counts and bytes. A blob that both sides use is neither added nor removed."""
        common = self._blobs[0] & self._blobs[1]
        for number, side in ((0, self._removed), (1, self._added)):
            own = self._blobs[number] - common - self._in_shared(self._blobs[number] - common)
            side.data_blobs = sum(1 for ident in own if ident[0] == "d")
            side.tree_blobs = len(own) - side.data_blobs
            side.bytes = sum(self._size(ident) for ident in own)
        return Compared(self._changed, self._added, self._removed)

    def _in_shared(self, own: set[str]) -> set[str]:
        """Those blobs of one side that occur in folders which both snapshots have, and which were not entered."""
        found: set[str] = set()
        seen: set[str] = set()
        if not own:
            return found
        for tree in sorted(self._shared):
            for item in self._trees.walk(tree, enter=lambda item: _first(seen, item.node.subtree or "")):
                found.update(own.intersection("d" + ident for ident in item.node.content or ()))
                if item.node.subtree:
                    found.update(own & {"t" + item.node.subtree})
        return found

    def _size(self, ident: str) -> int:
        at = self._repo.index.find(bytes.fromhex(ident[1:]))
        return at.plain_length if at else 0


def _first(seen: set[str], ident: str) -> bool:
    if ident in seen:
        return False
    seen.add(ident)
    return True


def _metadata(node: FullNode) -> tuple[object, ...]:
    """All of an entry but what it holds, and the access time, which no change of anybody's leaves alone."""
    return (
        node.type, node.mode, node.mtime, node.ctime, node.uid, node.gid, node.user, node.group, node.inode, node.size,
        node.links, node.linktarget, node.linktarget_raw, node.extended_attributes, node.device,
    )  # fmt: skip
