"""The folder that a restore writes into, reached by descriptors and never by paths.

Every folder is opened from its parent's descriptor, one plain name at a time and without following links, and what is made in
it is made relative to that descriptor. So another process that swaps a folder for a link while we write can't lead anything out
of the target: the descriptor stays what it was, and a folder that is opened again is refused when it is a link by then. There
is no limit to depth, since no path is ever handed to the system. Descriptors are few (`most`): those of folders that a batch
still writes into are pinned, of the others the least used are closed and opened again when they are wanted.

Only the thread that walks may call what is here; the numbers of pinned descriptors may be used by any.
"""

import errno
import os
import resource
from collections import OrderedDict

from holdfast.repo.errors import Damaged
from holdfast.repo.tree import Node

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEAST, _MOST, _SPARE = 48, 1024, 160


class Folder:
    """A folder of the snapshot and its place in the target. `node` is None for the target itself.

    It is made only when something in it is wanted. `made` says that it is there, `fresh` that it was not there before, so that
    nothing can be in the way in it, `refused` that it can't be made, which has been reported.
    """

    __slots__ = ("fresh", "handle", "made", "name", "node", "parent", "pins", "refused", "wanted")

    def __init__(self, name: str, node: Node | None, parent: "Folder | None", *, wanted: bool) -> None:
        self.name, self.node, self.parent, self.wanted = name, node, parent, wanted
        self.handle = -1
        self.pins = 0
        self.made = self.fresh = self.refused = False

    def up(self) -> "list[Folder]":
        """The folders from the target down to this one."""
        chain: list[Folder] = []
        at: Folder | None = self
        while at is not None:
            chain.append(at)
            at = at.parent
        return chain[::-1]

    @property
    def path(self) -> str:
        """The path in the file system, for people: it is made anew each time, since kept ones would fill memory."""
        return os.path.join(*(folder.name for folder in self.up()))


class Target:
    """The open folders of a restore. `close` gives all descriptors back."""

    def __init__(self, root: Folder, most: int = 0) -> None:
        self.root = root
        self.most = most or _budget()
        self._idle: OrderedDict[Folder, None] = OrderedDict()
        self._open = 0

    def begin(self) -> None:
        """Open the target itself, making it where it is missing; a link to it is followed: it is the caller's own word."""
        try:
            os.mkdir(self.root.name, 0o700)
            self.root.fresh = True
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(self.root.name, exist_ok=True)
        self.root.handle = os.open(self.root.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.root.made = True
        self.root.pins = 1
        self._open += 1

    def handle(self, folder: Folder) -> int:
        """The descriptor of a folder that is made; good until the next call, or while pinned. Raises OSError."""
        if folder.handle >= 0:
            if not folder.pins:
                self._idle.move_to_end(folder)
            return folder.handle
        below: list[Folder] = []
        at = folder
        while at.handle < 0 and at.parent is not None:
            below.append(at)
            at = at.parent
        for child in reversed(below):
            child.handle = _open_at(child.name, at.handle)
            self._open += 1
            self._idle[child] = None
            at = child
            self._close_spare(keep=child)
        return folder.handle

    def pin(self, folder: Folder) -> int:
        """The descriptor, kept open until it is unpinned as often."""
        handle = self.handle(folder)
        folder.pins += 1
        self._idle.pop(folder, None)
        return handle

    def unpin(self, folder: Folder) -> None:
        """Allow the descriptor to be closed."""
        folder.pins -= 1
        if not folder.pins:
            self._idle[folder] = None

    def forget(self, folder: Folder) -> None:
        """Close the descriptor of a folder that is finished, unless a batch still writes into it."""
        if folder in self._idle:
            del self._idle[folder]
            self._close(folder)

    def make(self, folder: Folder) -> None:
        """Make a folder, or enter the one that is there. Its parent must be made. Raises OSError; links are refused."""
        parent = self.handle(folder.parent or self.root)
        try:
            os.mkdir(folder.name, 0o700, dir_fd=parent)
            folder.fresh = True
        except FileExistsError:
            os.close(_open_at(folder.name, parent))
        folder.made = True

    def close(self) -> None:
        """Close everything."""
        for folder in list(self._idle):
            self._close(folder)
        self._idle.clear()
        if self.root.handle >= 0:
            self._close(self.root)

    def _close_spare(self, keep: Folder) -> None:
        while self._open > self.most and self._idle:
            folder = next(iter(self._idle))
            if folder is keep:
                return
            del self._idle[folder]
            self._close(folder)

    def _close(self, folder: Folder) -> None:
        os.close(folder.handle)
        folder.handle = -1
        self._open -= 1


def _open_at(name: str, parent: int) -> int:
    try:
        return os.open(name, _OPEN, dir_fd=parent)
    except PermissionError:
        return os.open(name, _PATH, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise NotADirectoryError(errno.ENOTDIR, "a folder belongs here, but something else is there", name) from None
        raise


def _budget() -> int:
    """How many descriptors we may hold: half of what the process may, less a reserve for stores and files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST
    return max(_LEAST, min(_MOST, (soft - _SPARE) // 2))


def safe_name(node: Node) -> str:
    """The file name of an entry. Raises Damaged unless it is one plain component that stays in its folder."""
    name = node.file_name
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise Damaged(f"the snapshot holds the name {name!r}, which would leave the target: refused")
    return name
