"""What backups and restores tell their callers: progress on the way, counts and faults at the end.

Names of files may hold bytes that are not UTF-8; in these texts such bytes become escapes, so that any report can carry them.
"""

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

MOST_ERRORS = 100
"""Faults kept in full; beyond it only their number is known."""

PROGRESS_SECONDS = 0.5


class FileError(msgspec.Struct, frozen=True):
    """A file that was left out, and why."""

    path: str
    message: str


class Progress(msgspec.Struct, frozen=True):
    """How far a run is. Totals are 0 while they are not known; bytes are those of the source."""

    files_done: int
    files_total: int
    bytes_done: int
    bytes_total: int
    seconds: float
    totals_known: bool


ProgressHook = Callable[[Progress], None]


class BackupResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished backup. Sizes in bytes; `added_raw` before compression, `added_stored` as stored with all overhead."""

    snapshot_id: str
    tree: str
    parent: str
    files_new: int
    files_changed: int
    files_unmodified: int
    dirs_new: int
    dirs_changed: int
    dirs_unmodified: int
    bytes_processed: int
    added_raw: int
    added_stored: int
    vanished: int
    errors: tuple[FileError, ...]
    error_count: int
    started: datetime
    finished: datetime
    seconds: float

    @property
    def partial(self) -> bool:
        """Whether anything of the source is missing in the snapshot."""
        return self.error_count > 0

    @property
    def files(self) -> int:
        """Regular files in the snapshot."""
        return self.files_new + self.files_changed + self.files_unmodified


class RestoreResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished restore, or what a dry run would do.

    `files` and `bytes_restored` are of regular files that were written, with second names (`links`); `verified_bytes` were read
    back and hashed after that. `skipped` were left as they are by the overwrite rule, `unchanged` got metadata only, `removed`
    went by the delete rule, a folder that goes whole with each of its entries. The owner of `unowned` entries could not be set,
    which only root can. `staged_at` is where the files of a staged restore are that is partial, and so was not handed over.
    """

    snapshot_id: str
    files: int
    directories: int
    links: int
    others: int
    bytes_restored: int
    verified_files: int
    verified_bytes: int
    skipped: int = 0
    unchanged: int = 0
    removed: int = 0
    unowned: int = 0
    staged_at: str = ""
    errors: tuple[FileError, ...]
    error_count: int
    seconds: float

    @property
    def partial(self) -> bool:
        """Whether anything that was asked for is missing or wrong in the target."""
        return self.error_count > 0


class Faults:
    """Collects errors on single files, from any thread."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._kept: list[FileError] = []
        self.count = 0

    def add(self, path: str, error: BaseException | str) -> None:
        """Record a fault."""
        text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        with self._mutex:
            self.count += 1
            if len(self._kept) < MOST_ERRORS:
                self._kept.append(FileError(printable(path), printable(text)))

    @property
    def kept(self) -> tuple[FileError, ...]:
        """The first faults."""
        return tuple(self._kept)


class Meter:
    """Counts files and bytes from any thread, and calls the hook from the thread that calls `tick`."""

    def __init__(self, hook: ProgressHook | None, totals: Callable[[], tuple[int, int, bool]]) -> None:
        self._hook, self._totals = hook, totals
        self._mutex = threading.Lock()
        self._started = time.monotonic()
        self._told = self._started
        self.files = 0
        self.bytes = 0

    def add(self, files: int, size: int) -> None:
        """Count what is done."""
        with self._mutex:
            self.files += files
            self.bytes += size

    def tick(self, *, force: bool = False) -> None:
        """Tell the hook, at most twice a second unless forced."""
        now = time.monotonic()
        if self._hook is None or not (force or now - self._told >= PROGRESS_SECONDS):
            return
        self._told = now
        files, size, known = self._totals()
        self._hook(Progress(self.files, files, self.bytes, size, now - self._started, known))


def printable(text: str) -> str:
    """A text that any encoder takes: bytes that are not UTF-8 become escapes."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
