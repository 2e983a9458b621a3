"""Looking at folders: what is in them, what of it belongs to the backup, and how much there is in total.

Only metadata is read here, and the first bytes of files that mark a folder. A name that vanishes between listing and looking is
no longer part of the source and is counted, not reported. Sockets are left out, as the format's other writers do: they mean
nothing without their process.
"""

import os
import stat as st
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from holdfast.repo import native
from holdfast.repo.patterns import Patterns


class Marker(msgspec.Struct, frozen=True):
    """A file whose presence leaves out what else is in its folder; with `header` only when it begins with these bytes."""

    name: str
    header: bytes = b""

    def marks(self, folder: str) -> bool:
        """Whether the file in this folder is such a marker."""
        if not self.header:
            return True
        try:
            handle = os.open(os.path.join(folder, self.name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.read(handle, len(self.header)) == self.header
            finally:
                os.close(handle)
        except OSError:
            return False


CACHE_MARKER = Marker("CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55")
"""What the Cache Directory Tagging Specification asks of a cache."""


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


class Bounds(msgspec.Struct, frozen=True):
    """The device that a folder's content has to be on; `inside` is whether the folder is, so that mount points in it stay."""

    device: int
    inside: bool


class Rules(msgspec.Struct, frozen=True):
    """What a scan leaves out: patterns, files larger than `max_file_bytes` (0: none), marked folders, other devices.

    `devices` has the device of each path that was asked for: what lies in it must be on the same. Empty: on any.
    """

    excludes: Patterns
    devices: Mapping[str, int] = {}
    max_file_bytes: int = 0
    markers: tuple[Marker, ...] = ()

    @property
    def admit_all(self) -> bool:
        """Whether nothing is left out, so that nobody has to ask."""
        return self.excludes.empty and not (self.devices or self.max_file_bytes or self.markers)

    def bounds(self, folder: str) -> "Bounds | None":
        """On which device what is in a folder has to be: that of the nearest path above it that was asked for."""
        if not self.devices:
            return None
        at = folder
        while at not in self.devices and at != os.path.dirname(at):
            at = os.path.dirname(at)
        own = os.lstat(folder).st_dev
        device = self.devices.get(at, own)
        return Bounds(device, own == device)

    def admits(self, path: str, mode: int, size: int, device: int, bounds: "Bounds | None") -> bool:
        """Whether an entry belongs to the backup; `bounds` are those of its folder."""
        if self.max_file_bytes and st.S_ISREG(mode) and size > self.max_file_bytes:
            return False
        if bounds is not None and device != bounds.device and not (bounds.inside and st.S_ISDIR(mode)):
            return False
        return self.excludes.empty or not self.excludes.match(path)

    def marker(self, folder: str, names: Collection[str]) -> str:
        """The name of the file that marks the folder, which is then all that is kept of it, or nothing."""
        found = (marker.name for marker in self.markers if marker.name in names and marker.marks(folder))
        return next(found, "")


def list_folder(path: str, rules: Rules) -> Listing:
    """List one folder. Raises OSError when the folder can't be read; entries that can't be looked at raise too."""
    listing = Listing([], [], [])
    base = path if path.endswith("/") else path + "/"
    every: list[Found] = []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                listing.vanished += 1
                continue
            if not st.S_ISSOCK(stat.st_mode):
                every.append(Found(entry.name, base + entry.name, stat))
    only = rules.marker(path, {found.name for found in every}) if rules.markers else ""
    bounds = rules.bounds(path)
    for found in every:
        stat = found.stat
        if only and found.name != only:
            continue
        if rules.admits(found.path, stat.st_mode, stat.st_size, stat.st_dev, bounds):
            sort_out(found, listing)
    listing.folders.sort(key=sort_key)
    return listing


def sort_out(found: Found, listing: Listing) -> None:
    """Put an entry where it belongs."""
    if st.S_ISREG(found.stat.st_mode):
        listing.files.append(found)
    elif st.S_ISDIR(found.stat.st_mode):
        listing.folders.append(found)
    else:
        listing.others.append(found)


def sort_key(found: Found) -> bytes:
    """Entries of a tree are in the order of the bytes of their names."""
    return os.fsencode(found.name)


def scan_native(path: str, rules: Rules, *, utc: bool) -> tuple[Any, int]:
    """The native folder of a path with what belongs to the backup, and how many entries vanished. Raises OSError."""
    module: Any = native.module()
    folder = module.Folder(os.fsencode(path), utc)
    vanished: int = folder.scan()
    if rules.admit_all:
        return folder, vanished
    base = path if path.endswith("/") else path + "/"
    entries = [(number, os.fsdecode(name), *rest) for number, name, *rest in folder.entries()]
    only = rules.marker(path, {entry[1] for entry in entries}) if rules.markers else ""
    bounds = rules.bounds(path)
    for number, name, mode, size, device in entries:
        if (only and name != only) or not rules.admits(base + name, mode, size, device, bounds):
            folder.drop(number)
    return folder, vanished


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
        count = self._count if native.module() is None else self._count_native
        while todo and not self._stop.is_set():
            folder = todo.pop()
            _quietly(lambda folder=folder: count(folder, todo))
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

    def _count_native(self, path: str, todo: list[str]) -> None:
        folder, _ = scan_native(path, self._rules, utc=True)
        files, size, names = folder.totals()
        self.files += files
        self.bytes += size
        todo.extend(os.path.join(path, os.fsdecode(name)) for name in names)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError:
        return
