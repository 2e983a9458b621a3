"""Snapshots of the embedded API server's store: one SQLite file that goes on being written meanwhile.

SQLite's own online copy gives the state of one moment. It is checked whole, and its revision is the server's.
"""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import msgspec

from holdfast.movers.context import MoverError
from holdfast.movers.envelope import BLOCK


class StoreFacts(msgspec.Struct, frozen=True):
    """What a copy holds: revision, number of objects, SHA-256 of the file."""

    revision: int
    keys: int
    sha256: str


def copy_store(source: Path, target: Path) -> StoreFacts:
    """Copy a live store and verify the copy. Raises MoverError."""
    if not source.is_file():
        raise MoverError(
            "NoStore",
            f"{source} is not there",
            "name the data directory with the Cluster's annotation backup.holdfast.dev/sqlite",
        )
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)) as live,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise MoverError("StoreFailed", f"can't copy {source}: {error}", "check owner and mode of the folder") from error
    return verify_store(target)


def verify_store(path: Path) -> StoreFacts:
    """Prove that a copy is whole and say what it holds. Raises MoverError."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as copy:
            (said,) = copy.execute("PRAGMA integrity_check").fetchone()
            if said != "ok":
                raise MoverError("SnapshotDamaged", f"{path.name} is damaged: {said}", "use another copy, or run it again")
            (revision,) = copy.execute("SELECT value FROM meta WHERE key = 'rv'").fetchone()
            (keys,) = copy.execute("SELECT count(*) FROM obj").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise MoverError("SnapshotDamaged", f"{path.name} is no store of an embedded API server: {error}") from error
    with path.open("rb") as file:
        found = hashlib.sha256()
        while chunk := file.read(BLOCK):
            found.update(chunk)
    return StoreFacts(revision, keys, found.hexdigest())
