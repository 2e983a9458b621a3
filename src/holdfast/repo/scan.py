"""Looking at folders: what is in them, sorted out by kind, and how much there is in total.

Only metadata is read here. A name that vanishes between listing and looking is no longer part of the source and is counted,
not reported. Sockets are left out, as the format's other writers do: they mean nothing without their process.
"""

import os
import stat as st
import threading
from collections.abc import Callable

import msgspec

from holdfast.repo.patterns import Patterns


class Found(msgspec.Struct, frozen=True):
    """One directory entry: its name, path and lstat."""

    name: str
    path: str
    stat: os.stat_result


class Listing(msgspec.Struct):
    """A folder's entries by kind, folders in the order of the bytes of their names."""

    files: list[Found]
    folders: list[Found]
    others: list[Found]
    vanished: int = 0


class Rules(msgspec.Struct, frozen=True):
    """What a scan leaves out: patterns, other devices, files larger than `max_file_bytes` (0: none)."""

    excludes: Patterns
    devices: frozenset[int] = frozenset()
    max_file_bytes: int = 0

    def admits(self, found: Found) -> bool:
        """Whether the entry belongs to the backup."""
        mode = found.stat.st_mode
        if st.S_ISSOCK(mode):
            return False
        if self.max_file_bytes and st.S_ISREG(mode) and found.stat.st_size > self.max_file_bytes:
            return False
        if self.devices and st.S_ISDIR(mode) and found.stat.st_dev not in self.devices:
            return False
        return self.excludes.empty or not self.excludes.match(found.path)


def list_folder(path: str, rules: Rules) -> Listing:
    """List one folder. Raises OSError when the folder can't be read; entries that can't be looked at raise too."""
    listing = Listing([], [], [])
    base = path if path.endswith("/") else path + "/"
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                listing.vanished += 1
                continue
            found = Found(entry.name, base + entry.name, stat)
            if not rules.admits(found):
                continue
            if st.S_ISREG(stat.st_mode):
                listing.files.append(found)
            elif st.S_ISDIR(stat.st_mode):
                listing.folders.append(found)
            else:
                listing.others.append(found)
    listing.folders.sort(key=sort_key)
    return listing


def sort_key(found: Found) -> bytes:
    """Entries of a tree are in the order of the bytes of their names."""
    return os.fsencode(found.name)


class Totals:
    """Counts files and bytes ahead of the backup, in a thread of its own, for progress and the time left."""

    def __init__(self, paths: list[str], rules: Rules) -> None:
        self.files = 0
        self.bytes = 0
        self.done = False
        self._paths, self._rules = paths, rules
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backup-totals", daemon=True)

    def start(self) -> None:
        """Begin counting."""
        self._thread.start()

    def stop(self) -> None:
        """End counting, finished or not."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        todo: list[str] = []
        for path in self._paths:
            _quietly(lambda path=path: self._start_at(path, todo))
        while todo and not self._stop.is_set():
            folder = todo.pop()
            _quietly(lambda folder=folder: self._count(folder, todo))
        self.done = not todo

    def _start_at(self, path: str, todo: list[str]) -> None:
        stat = os.lstat(path)
        if st.S_ISDIR(stat.st_mode):
            todo.append(path)
        elif st.S_ISREG(stat.st_mode):
            self.files += 1
            self.bytes += stat.st_size

    def _count(self, folder: str, todo: list[str]) -> None:
        listing = list_folder(folder, self._rules)
        self.files += len(listing.files)
        self.bytes += sum(found.stat.st_size for found in listing.files)
        todo.extend(found.path for found in listing.folders)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError:
        return
