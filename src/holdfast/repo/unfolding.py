"""How much a snapshot unfolds to, where many of its folders are the same.

Equal folders are one tree, so a few kilobytes can stand for more folders than any disk holds: fifty levels of a hundred equal
folders each are fifty trees. A restore that meets so many folders of so few trees counts them first, tree by tree, each once.
"""

import zlib
from collections.abc import Iterator

from holdfast.repo.errors import Damaged
from holdfast.repo.trees import TreeReader

_FIRST_LOOK = 2048
_REPEATS = 4
_BITS = 1 << 20


class Repeats:
    """Watches a walk over folders, in a fixed 128 KiB."""

    def __init__(self) -> None:
        self._seen = bytearray(_BITS // 8)
        self._trees = 0
        self._folders = 0
        self._next = _FIRST_LOOK

    def visit(self, tree: str) -> bool:
        """Note a folder by its tree; whether by now each tree stands for several folders. That is said ever more seldom."""
        place = zlib.crc32(tree.encode("utf-8", "replace")) % _BITS
        self._folders += 1
        if not self._seen[place >> 3] >> (place & 7) & 1:
            self._seen[place >> 3] |= 1 << (place & 7)
            self._trees += 1
        if self._folders < self._next:
            return False
        self._next *= 2
        return self._folders >= _REPEATS * self._trees


def count_entries(trees: TreeReader, root: str) -> int:
    """How many entries there are below a tree, those of folders that come often as often as they come.

    A tree that can't be read counts as empty: the restore says what is wrong with it.
    """
    known: dict[str, int] = {}
    stack: list[tuple[str, list[str], Iterator[str]]] = [(root, *_below(trees, root, known))]
    while stack:
        tree, folders, left = stack[-1]
        child = next(left, None)
        if child is None:
            stack.pop()
            known[tree] += sum(known[folder] for folder in folders)
        elif child not in known:
            stack.append((child, *_below(trees, child, known)))
    return known[root]


def _below(trees: TreeReader, tree: str, known: dict[str, int]) -> tuple[list[str], Iterator[str]]:
    """The trees of the folders in a tree, to add up and to walk; enters its own entries."""
    try:
        nodes = trees.load(tree)
    except Damaged:
        nodes = []
    known[tree] = len(nodes)
    folders = [node.subtree for node in nodes if node.type == "dir" and node.subtree]
    return folders, iter(dict.fromkeys(folders))
